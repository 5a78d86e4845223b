package iac_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/iam"
)

// TestDrillsInterruptWhatIsTaggedAlone: the role of the experiment may interrupt instances of the
// client that carry the tag, and do nothing else.
func TestDrillsInterruptWhatIsTaggedAlone(t *testing.T) {
	t.Parallel()
	a := newAmazon(t)
	a.create("drills", "tenant-drills.yaml", map[string]string{"ClientId": client})
	r := a.role("spotkeeper-drills-" + region)
	const ours, drill = "aws:ResourceTag/spotkeeper:client", "aws:ResourceTag/spotkeeper:drill"
	instance := "arn:aws:ec2:" + region + ":" + account + ":instance/i-1"
	for name, c := range map[string]struct {
		action, resource string
		tags             map[string][]string
		want             bool
	}{
		"tagged for drills":   {"ec2:SendSpotInstanceInterruptions", instance, map[string][]string{ours: {client}, drill: {"yes"}}, true},
		"not tagged":          {"ec2:SendSpotInstanceInterruptions", instance, map[string][]string{ours: {client}}, false},
		"tagged no":           {"ec2:SendSpotInstanceInterruptions", instance, map[string][]string{ours: {client}, drill: {"no"}}, false},
		"of another client":   {"ec2:SendSpotInstanceInterruptions", instance, map[string][]string{ours: {"c2"}, drill: {"yes"}}, false},
		"of no client":        {"ec2:SendSpotInstanceInterruptions", instance, map[string][]string{drill: {"yes"}}, false},
		"in another region":   {"ec2:SendSpotInstanceInterruptions", "arn:aws:ec2:eu-west-1:" + account + ":instance/i-1", map[string][]string{ours: {client}, drill: {"yes"}}, false},
		"looking for targets": {"ec2:DescribeInstances", "*", nil, true},
		"ending instances":    {"ec2:TerminateInstances", instance, map[string][]string{ours: {client}, drill: {"yes"}}, false},
	} {
		got := iam.Decide(iam.Request{Action: c.action, Resource: c.resource, Context: c.tags}, r.Policies...)
		require.Equal(t, c.want, got == iam.Allow, name)
	}
}
