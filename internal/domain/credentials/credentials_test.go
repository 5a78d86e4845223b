package credentials_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
)

func TestATokenSaysItsKind(t *testing.T) {
	t.Parallel()
	for _, kind := range []credentials.Kind{credentials.Enrolment, credentials.Agent, credentials.Tenant} {
		token, err := credentials.NewToken(kind, rand.Reader)
		require.NoError(t, err)
		require.Equal(t, kind, credentials.KindOf(token))
		require.Len(t, token[strings.LastIndex(token, "-")+1:], 32)
	}
	legacy, err := clients.NewToken(rand.Reader)
	require.NoError(t, err)
	require.Equal(t, credentials.Legacy, credentials.KindOf(legacy))
	_, err = credentials.NewToken(credentials.Legacy, rand.Reader)
	require.Error(t, err)
}

func TestScopesIncludeTheSmallerOnes(t *testing.T) {
	t.Parallel()
	order := []credentials.Scope{credentials.Read, credentials.Operate, credentials.Admin}
	for i, has := range order {
		for j, wants := range order {
			require.Equal(t, i >= j, has.Includes(wants), "%s for %s", has, wants)
		}
		require.False(t, credentials.Scope("").Includes(has))
	}
}

func TestWhatACredentialIsMadeFrom(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   credentials.NewCredential
		want credentials.NewCredential // zero: refused
	}{
		"an enrolment takes its defaults": {credentials.NewCredential{Kind: "enrolment"}, credentials.NewCredential{
			Kind: "enrolment",
			TTL:  15 * time.Minute,
			Uses: 1,
		}},
		"an enrolment for many": {credentials.NewCredential{
			Kind:      "enrolment",
			TTL:       time.Hour,
			Uses:      50,
			LogicalID: "web",
		}, credentials.NewCredential{Kind: "enrolment", TTL: time.Hour, Uses: 50, LogicalID: "web"}},
		"a tenant's": {credentials.NewCredential{
			Kind:  "tenant",
			Name:  " ci ",
			Scope: "operate",
		}, credentials.NewCredential{Kind: "tenant", Name: "ci", Scope: "operate"}},
		"a tenant's without a name":  {in: credentials.NewCredential{Kind: "tenant", Scope: "read"}},
		"a tenant's without a scope": {in: credentials.NewCredential{Kind: "tenant", Name: "ci"}},
		"an unknown scope":           {in: credentials.NewCredential{Kind: "tenant", Name: "ci", Scope: "root"}},
		"an enrolment with a scope":  {in: credentials.NewCredential{Kind: "enrolment", Scope: "read"}},
		"an enrolment for ever":      {in: credentials.NewCredential{Kind: "enrolment", TTL: 31 * 24 * time.Hour}},
		"an enrolment for too many":  {in: credentials.NewCredential{Kind: "enrolment", Uses: 10_001}},
		"an agent's by hand":         {in: credentials.NewCredential{Kind: "agent"}},
		"a past one":                 {in: credentials.NewCredential{Kind: "enrolment", TTL: -1}},
		"a control character":        {in: credentials.NewCredential{Kind: "tenant", Name: "a\x07", Scope: "read"}},
		"a reversed order":           {in: credentials.NewCredential{Kind: "tenant", Name: "a\u202eb", Scope: "read"}},
		"an agent with a zero width": {in: credentials.NewCredential{Kind: "enrolment", LogicalID: "w\u200beb"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.in.Normalize()
			if tc.want == (credentials.NewCredential{}) {
				require.True(t, fault.Is(err, credentials.Invalid), "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, tc.in)
		})
	}
}

func TestWhenAnAgentsCredentialIsRenewed(t *testing.T) {
	t.Parallel()
	issued := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC)
	expires := issued.Add(credentials.AgentTTL)
	require.False(t, credentials.ShouldRenew(issued, expires, issued.Add(16*time.Hour)))
	require.True(t, credentials.ShouldRenew(issued, expires, issued.Add(16*time.Hour+5*time.Minute)))
	require.True(t, credentials.ShouldRenew(issued, expires, expires))
}
