package clients_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
)

func TestAccounts(t *testing.T) {
	t.Parallel()
	const role = "arn:aws:iam::111111111111:role/spotkeeper/web"
	for name, x := range map[string]struct {
		in, want clients.Account
		code     fault.Code
	}{
		"nowhere": {clients.Account{}, clients.Account{}, ""},
		"a role":  {clients.Account{RoleARN: role}, clients.Account{RoleARN: role, ID: "111111111111"}, ""},
		"a role and its home": {clients.Account{RoleARN: role, ID: "111111111111"},
			clients.Account{RoleARN: role, ID: "111111111111"}, ""},
		"our own":          {clients.Account{Own: true}, clients.Account{Own: true}, ""},
		"an account alone": {clients.Account{ID: "111111111111"}, clients.Account{ID: "111111111111"}, ""},
		"another home":     {clients.Account{RoleARN: role, ID: "222222222222"}, clients.Account{}, clients.BadAccount},
		"both":             {clients.Account{RoleARN: role, Own: true}, clients.Account{}, clients.BadAccount},
		"no role":          {clients.Account{RoleARN: "spotkeeper"}, clients.Account{}, clients.BadAccount},
		"a user": {clients.Account{RoleARN: "arn:aws:iam::111111111111:user/x"}, clients.Account{},
			clients.BadAccount},
		"no account": {clients.Account{ID: "12"}, clients.Account{}, clients.BadAccount},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := x.in.Normalize()
			require.Equal(t, x.code, fault.CodeOf(err))
			if x.code == "" {
				require.Equal(t, x.want, x.in)
			}
		})
	}
}
