package adoption_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/adoption"
)

// own is a claim that holds: a running instance in an account of the client's own.
func own(change func(*adoption.Claim)) adoption.Claim {
	c := adoption.Claim{InstanceID: "i-1", ClientID: "c1", AccountID: "111111111111", HasRole: true,
		State: "running", Region: "us-east-1", OwnerID: "111111111111"}
	change(&c)
	return c
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		change func(*adoption.Claim)
		want   adoption.Cause // empty: proven
		wait   bool
	}{
		"in the client's own account": {func(*adoption.Claim) {}, "", false},
		"with its tag":                {func(c *adoption.Claim) { c.TaggedBy = "c1" }, "", false},
		"no role and no right": {func(c *adoption.Claim) { c.HasRole = false },
			adoption.ClientAlone, false},
		"ours, without a mark": {func(c *adoption.Claim) { c.HasRole, c.OwnAccount = false, true },
			adoption.NoTenantMark, false},
		"ours, with a mark": {
			func(c *adoption.Claim) { c.HasRole, c.OwnAccount, c.TaggedBy = false, true, "c1" }, "", false},
		"ours, with another client's mark": {
			func(c *adoption.Claim) { c.HasRole, c.OwnAccount, c.TaggedBy = false, true, "c2" }, adoption.OtherClient,
			false},
		"ours, with a document": {
			func(c *adoption.Claim) { c.HasRole, c.OwnAccount, c.Document = false, true, true }, "", false},
		"ours, a document and another's mark": {
			func(c *adoption.Claim) { c.OwnAccount, c.Document, c.TaggedBy = true, true, "c2" }, adoption.OtherClient,
			false},
		"two clients in one account": {func(c *adoption.Claim) { c.Shared = true }, adoption.NoTenantMark,
			false},
		"two clients in one account, with a mark": {func(c *adoption.Claim) { c.Shared, c.TaggedBy = true, "c1" }, "",
			false},
		"another account":  {func(c *adoption.Claim) { c.OwnerID = "222222222222" }, adoption.OtherAccount, false},
		"absent":           {func(c *adoption.Claim) { c.State = "absent" }, adoption.NotFound, false},
		"absent and fresh": {func(c *adoption.Claim) { c.State, c.Fresh = "absent", true }, adoption.Waiting, true},
		"pending":          {func(c *adoption.Claim) { c.State = "pending" }, adoption.Waiting, true},
		"stopped":          {func(c *adoption.Claim) { c.State = "stopped" }, adoption.NotRunning, false},
		"ended":            {func(c *adoption.Claim) { c.State = "terminated" }, adoption.NotRunning, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := own(x.change).Judge()
			require.Equal(t, x.want, got.Cause)
			require.Equal(t, x.want == "", got.Proven)
			require.Equal(t, x.wait, got.Wait)
			if x.want == "" {
				require.Empty(t, got.Sentence())
			} else {
				require.NotEmpty(t, got.Reason)
				require.NotEmpty(t, got.Repair)
			}
		})
	}
}

// TestRefusalsSayWhatToDo: the sentence for a role that is refused names its template.
func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	require.Contains(t, adoption.Failed(adoption.RoleRefused, "no").Sentence(), "tenant-role.json")
	require.Contains(t, adoption.Failed(adoption.TagRefused, "no").Sentence(), "ec2:CreateTags")
	require.True(t, adoption.Refused(adoption.NotOurs.New("x")))
	require.False(t, adoption.Refused(nil))
}
