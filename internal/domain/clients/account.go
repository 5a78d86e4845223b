package clients

import (
	"regexp"

	"spotkeeper/internal/domain/fault"
)

// BadAccount means that a client's account contradicts itself.
var BadAccount = fault.Define("clients.bad_account", fault.Invalid)

// Account says where a client's instances live. The zero Account is nowhere: what its
// agents name stays unproven.
type Account struct {
	ID      string `json:"account_id"`  // twelve digits; empty: that of the role
	RoleARN string `json:"role_arn"`    // the role to assume in that account
	Own     bool   `json:"own_account"` // our own account, where every instance must be tagged for the client
}

var (
	roleARN   = regexp.MustCompile(`^arn:aws[a-z-]*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,512}$`)
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
)

// Normalize fills in the account of the role, and judges the whole. Fails with
// clients.bad_account.
func (a *Account) Normalize() error {
	switch {
	case a.RoleARN == "" && a.ID != "" && !accountID.MatchString(a.ID):
		return BadAccount.New("account_id must have twelve digits")
	case a.RoleARN == "":
		return nil
	case a.Own:
		return BadAccount.New("A client lives in the account of its role_arn or in our own_account, not in both")
	}
	parts := roleARN.FindStringSubmatch(a.RoleARN)
	switch {
	case parts == nil:
		return BadAccount.New("role_arn must be like arn:aws:iam::123456789012:role/spotkeeper-tenant")
	case a.ID != "" && a.ID != parts[1]:
		return BadAccount.New("role_arn is of account %s, and account_id says %s", parts[1], a.ID)
	}
	a.ID = parts[1]
	return nil
}
