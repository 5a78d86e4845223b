package ec2sim

import (
	"slices"
	"strings"
	"time"
)

type stsReply struct {
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

func (r *stsReply) setRequestID(id string) { r.RequestID = id }

type assumeRoleResponse struct {
	AccessKey string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Secret    string `xml:"AssumeRoleResult>Credentials>SecretAccessKey"`
	Token     string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expires   string `xml:"AssumeRoleResult>Credentials>Expiration"`
	UserID    string `xml:"AssumeRoleResult>AssumedRoleUser>AssumedRoleId"`
	UserARN   string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`
	stsReply
}

// assumeRole gives keys for another account to a caller that names a registered role
// and its external id.
func (c *call) assumeRole() (replier, error) {
	arn, session := c.form.get("RoleArn"), c.form.get("RoleSessionName")
	account, name, ok := splitRole(arn)
	if !ok {
		return nil, fail("ValidationError", "%s is invalid", arn)
	}
	if len(session) < 2 || len(session) > 64 {
		return nil, fail("ValidationError", "The role session name must have 2 to 64 characters.")
	}
	role, ok := c.world.set().Roles[arn]
	if !ok || role.ExternalID != "" && role.ExternalID != c.form.get("ExternalId") {
		return nil, fail("AccessDenied",
			"User: arn:aws:iam::%s:user/simulated is not authorized to perform: sts:AssumeRole on resource: %s",
			c.account, arn)
	}
	life, err := c.form.number("DurationSeconds", 3600)
	if err != nil {
		return nil, err
	}
	if life < 900 || life > 43200 {
		return nil, fail("ValidationError", "The requested DurationSeconds must be from 900 to 43200.")
	}
	set := c.world.changeSettings()
	set.Sessions++
	key := sessionKey(account, set.Sessions)
	partition, _, _ := strings.Cut(arn, ":iam::")
	return &assumeRoleResponse{
		AccessKey: key, Secret: suffix(40), Token: suffix(64),
		Expires: stamp(c.opts.Now().Add(time.Duration(life) * time.Second)), // the SDK compares it with the real clock
		UserID:  "AROA" + strings.ToUpper(suffix(16)) + ":" + session,
		UserARN: partition + ":sts::" + account + ":assumed-role/" + name + "/" + session,
	}, nil
}

// splitRole reads arn:<partition>:iam::<account>:role/<name>.
func splitRole(arn string) (account, name string, ok bool) {
	head, rest, found := strings.Cut(arn, ":iam::")
	found = found && slices.Contains([]string{"arn:aws", "arn:aws-cn", "arn:aws-us-gov"}, head)
	account, name, cut := strings.Cut(rest, ":role/")
	return account, name, found && cut && isAccount(account) && name != ""
}

type callerIdentityResponse struct {
	Account string `xml:"GetCallerIdentityResult>Account"`
	ARN     string `xml:"GetCallerIdentityResult>Arn"`
	UserID  string `xml:"GetCallerIdentityResult>UserId"`
	stsReply
}

func (c *call) getCallerIdentity() (replier, error) {
	out := &callerIdentityResponse{
		Account: c.account,
		ARN:     "arn:aws:iam::" + c.account + ":user/simulated",
		UserID:  "AIDA" + c.account + "SIMU",
	}
	if strings.HasPrefix(c.key, "ASIA") {
		out.ARN = "arn:aws:sts::" + c.account + ":assumed-role/simulated/session"
	}
	if c.instance != "" {
		out.ARN = "arn:" + c.place.partition.name + ":sts::" + c.account + ":assumed-role/" + c.role + "/" + c.instance
	}
	return out, nil
}
