package app

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
)

// report is a pricing report with this body of spot_pools and on-demand price.
func (m *member) report(onDemand, pools string) int {
	m.t.Helper()
	return m.send("POST", "/api/agents/"+m.id+"/pricing-report",
		[]byte(fmt.Sprintf(`{"instance": {"instance_id": %q, "instance_type": "m5.large",
		"region": "us-east-1", "az": "us-east-1a", "mode": "spot", "pool_id": "m5.large.us-east-1a"},
		"pricing": {"on_demand_price": %s, "current_spot_price": 0.03, "spot_pools": [%s]}}`, m.at, onDemand, pools)),
		nil)
}

func onePool(id, price string) string { return fmt.Sprintf(`{"pool_id": %q, "price": %s}`, id, price) }

// TestABoundRefusesOneValue (K7, K11): the prices of the largest types are taken; what is no
// price is left out and counted, and the others are kept.
func TestABoundRefusesOneValue(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine())
	require.Equal(t, 200, m.report("0.096", strings.Join([]string{
		onePool("p6-b200.48xlarge.us-east-1b", "101.5"), onePool("m5.large.us-east-1c", "NaN"),
		onePool("m5.large.us-east-1d", "-Infinity"),
		onePool("m5.large.us-east-1e", "0.041"), onePool("m5.large.us-east-1f", "1e7"),
	}, ",")), f.log.String())
	require.Equal(t, []string{"101.500000"},
		f.list(`SELECT price::text FROM client_prices WHERE pool_id = 'p6-b200.48xlarge.us-east-1b'`))
	require.Equal(t, []string{"0.041000"},
		f.list(`SELECT price::text FROM client_prices WHERE pool_id = 'm5.large.us-east-1e'`))
	require.Empty(t,
		f.list(`SELECT pool_id FROM client_prices WHERE pool_id IN ('m5.large.us-east-1d', 'm5.large.us-east-1f')`))
	require.Contains(t, f.log.String(), "m5.large.us-east-1f", "the answer says what was left out")
	require.Equal(t, 200, m.report("218.4", onePool("m5.large.us-east-1b", "0.02")))

	many := make([]string, 5000)
	for n := range many {
		many[n] = onePool(fmt.Sprintf("x%d.large.us-east-1b", n), "0.05")
	}
	require.Equal(t, 200, m.report("0.096", strings.Join(many, ",")), f.log.String())
	require.Equal(t, []string{"5000"}, f.list(`SELECT count(*)::text FROM client_prices WHERE instance_type LIKE 'x%'`))
}

// TestPlacesAreNotParsed (K4): Local Zones and Wavelength Zones live in the region that the
// registration names, and their pools can be reported.
func TestPlacesAreNotParsed(t *testing.T) {
	t.Parallel()

	for zone, region := range map[string]string{
		"us-west-2-lax-1a":        "us-west-2",
		"us-east-1-wl1-bos-wlz-1": "us-east-1",
		"us-gov-west-1b":          "us-gov-west-1",
		"cn-north-1a":             "cn-north-1",
		"eu-central-2c":           "eu-central-2",
		"eusc-de-east-1a":         "eusc-de-east-1",
	} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()

			f := newField(t, ec2sim.Options{})
			var answer struct {
				AgentID string `json:"agent_id"`
			}
			f.call("POST", "/api/agents/register", map[string]any{
				"client_token":     f.token,
				"logical_agent_id": "web",
				"instance_id":      "i-0123456789abcdef0",
				"instance_type":    "m5.large",
				"region":           region,
				"az":               zone,
				"ami_id":           "ami-1",
				"mode":             "spot",
			}, &answer)
			_, err := f.DB.Pool.Exec(t.Context(),
				`UPDATE instances SET proof = 'launched'`) // reports of strangers are evidence only
			require.NoError(t, err)
			m := &member{field: f, id: answer.AgentID, name: "web", at: "i-0123456789abcdef0"}
			status := m.send("POST", "/api/agents/"+m.id+"/pricing-report",
				[]byte(fmt.Sprintf(`{"instance": {"instance_id": %q, "instance_type": "m5.large",
				"region": %q, "az": %q, "mode": "spot"}, "pricing": {"on_demand_price": 0.1, "spot_pools": [{"pool_id": "m5.large.%s", "price": 0.03}]}}`,
					m.at, region, zone, zone)), nil)
			require.Equal(t, 200, status, f.log.String())
			require.Equal(t, []string{region + "/" + zone},
				f.list(`SELECT region || '/' || az FROM client_prices WHERE pool_id = 'm5.large.' || $1`, zone))
			require.Equal(t, []string{region + "/" + zone}, f.list(`SELECT region || '/' || az FROM instances`))
		})
	}
}
