package preflight_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/preflight"
)

func TestQuotasAgainstTheLossOfAZone(t *testing.T) {
	t.Parallel()

	const standard = "Standard (A, C, D, H, I, M, R, T, Z)"
	quotas := func(spot, demand float64) []preflight.Quota {
		return []preflight.Quota{
			{Name: "EC2-VPC Elastic IPs", VCPUs: 5},
			{Name: "All G and VT Spot Instance Requests", VCPUs: 64},
			{Name: "All " + standard + " Spot Instance Requests", VCPUs: spot},
			{Name: "Running On-Demand " + standard + " instances", VCPUs: demand},
			{Name: "Running Dedicated m5 Hosts", VCPUs: 1},
		}
	}
	use := []preflight.Usage{ // 12 vCPUs of spot, 4 on-demand; the zone a has 10 of them
		{InstanceType: "m5.xlarge", Zone: "us-east-1a", Mode: agent.Spot, VCPUs: 4},
		{InstanceType: "m5.large", Zone: "us-east-1a", Mode: "unknown", VCPUs: 2},
		{InstanceType: "c5.xlarge", Zone: "us-east-1a", Mode: agent.OnDemand, VCPUs: 4},
		{InstanceType: "t3.medium", Zone: "us-east-1b", Mode: agent.Spot, VCPUs: 6},
	}
	for name, c := range map[string]struct {
		spot, demand float64
		result       preflight.Result
		repair       string
	}{
		"spot has room":           {22, 0, preflight.OK, ""},
		"spot lacks one":          {21, 14, preflight.Warning, "at least 22"},
		"neither has room":        {21, 13, preflight.Failed, "or 14 of Running On-Demand"},
		"a new account has five":  {5, 5, preflight.Failed, "at least 22"},
		"it has more than enough": {1000, 1000, preflight.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := preflight.JudgeQuotas("us-east-1", use, quotas(c.spot, c.demand))
			require.Len(t, got, 1)
			require.Equal(t, c.result, got[0].Result, got[0].Detail)
			require.Contains(t, got[0].Detail, "the loss of us-east-1a is 10 vCPUs")
			require.Contains(t, got[0].Repair, c.repair)
			require.Equal(t, c.repair == "", got[0].Repair == "")
		})
	}
	gpus := slices.Concat(use, []preflight.Usage{{InstanceType: "g5.xlarge", Zone: "us-east-1a", Mode: agent.Spot, VCPUs: 4}})
	got := preflight.JudgeQuotas("us-east-1", gpus, quotas(100, 100))
	require.Equal(t, []preflight.Result{preflight.Unknown, preflight.OK},
		[]preflight.Result{got[0].Result, got[1].Result}, "the quota of on-demand GPUs was not named")
	require.Empty(t, preflight.JudgeQuotas("us-east-1", nil, quotas(1, 1)))
}
