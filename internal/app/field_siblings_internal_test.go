package app

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"
)

// TestSiblings plays kinds.
func TestSiblings(t *testing.T) {
	t.Parallel()

	zone := func(code string, status int) []client.Fault {
		return []client.Fault{{Action: "RunInstances", Pool: "*.us-east-1b", Code: code, Status: status, Message: "of another kind"}}
	}
	zero := 0
	for name, c := range map[string]struct {
		faults []client.Fault
		set    func(f *field)
		delays func(d *client.Delays)
		mode   string
	}{
		"AccessDenied":                {faults: zone("AccessDenied", 403)},
		"OptInRequired":               {faults: zone("OptInRequired", 401)},
		"Blocked":                     {faults: zone("Blocked", 403)},
		"PendingVerification":         {faults: zone("PendingVerification", 403)},
		"VolumeTypeAZ":                {faults: zone("VolumeTypeNotAvailableInAZ", 400)},
		"VolumeTypeZone":              {faults: zone("VolumeTypeNotAvailableInZone", 400)},
		"Unsupported":                 {faults: zone("Unsupported", 400)},
		"UnsupportedOperation":        {faults: zone("UnsupportedOperation", 400)},
		"InvalidParameterValue":       {faults: zone("InvalidParameterValue", 400)},
		"InvalidHostID":               {faults: zone("InvalidHostID.NotFound", 400)},
		"ReservationCapacityExceeded": {faults: zone("ReservationCapacityExceeded", 400)},
		"FreeAddresses":               {faults: zone("InsufficientFreeAddressesInSubnet", 400)},
		"deadServer":                  {faults: []client.Fault{{Pool: "*.us-east-1b", Mode: client.FaultStillborn, Code: "Server.SomethingNew"}}},
		"deadClient":                  {faults: []client.Fault{{Pool: "*.us-east-1b", Mode: client.FaultStillborn, Code: "Client.SomethingNew"}}},
		"deadClientInternal":          {faults: []client.Fault{{Pool: "*.us-east-1b", Mode: client.FaultStillborn, Code: "Client.InternalError"}}},
		"deadNothing":                 {faults: []client.Fault{{Pool: "*.us-east-1b", Mode: client.FaultStillborn, Code: "Strange"}}},
		"deadUser":                    {faults: []client.Fault{{Pool: "*.us-east-1b", Mode: client.FaultStillborn, Code: "Client.UserInitiatedShutdown"}}},
		"spot quota 0": {set: func(f *field) {
			require.NoError(f.t, f.sim.SetQuota(f.t.Context(), client.Quota{Account: fieldAccount, SpotVCPUs: &zero}))
		}, mode: "ondemand"},
		"od quota 0": {set: func(f *field) {
			require.NoError(f.t, f.sim.SetQuota(f.t.Context(), client.Quota{Account: fieldAccount, VCPUs: &zero}))
		}, mode: "spot"},
		"od quota 0, spot m5.large empty": {faults: []client.Fault{{Action: "RunInstances", Market: "spot", Pool: "m5.large.*", Code: "InsufficientInstanceCapacity"}}, set: func(f *field) {
			require.NoError(f.t, f.sim.SetQuota(f.t.Context(), client.Quota{Account: fieldAccount, VCPUs: &zero}))
		}},
		"m5.large forbidden": {faults: []client.Fault{{Action: "RunInstances", Pool: "m5.large.*", Code: "UnauthorizedOperation", Message: encoded}}},
		"throttled 25s": {set: func(f *field) {
			require.NoError(f.t, f.sim.SetThrottle(f.t.Context(), client.Throttle{Action: "RunInstances", Burst: 1, Refill: 0.02}))
			f.fault(client.Fault{Action: "RunInstances", Code: "RequestLimitExceeded", Status: 503, Times: 9})
		}},
		"throttled 12": {faults: []client.Fault{{Action: "RunInstances", Code: "RequestLimitExceeded", Status: 503, Times: 12}}},
		"throttled 20": {faults: []client.Fault{{Action: "RunInstances", Code: "RequestLimitExceeded", Status: 503, Times: 20}}},
		"after once":   {faults: []client.Fault{{Action: "RunInstances", Mode: client.FaultAfter, Code: "InternalError", Status: 500, Times: 1}}},
		"after five":   {faults: []client.Fault{{Action: "RunInstances", Mode: client.FaultAfter, Code: "InternalError", Status: 500, Times: 5}}},
		"after zone":   {faults: []client.Fault{{Action: "RunInstances", Pool: "*.us-east-1b", Mode: client.FaultAfter, Code: "InternalError", Status: 500}}},
		"expired":      {faults: []client.Fault{{Action: "RunInstances", Code: "ExpiredToken", Status: 400, Times: 1}}},
		"expired all":  {faults: []client.Fault{{Action: "RunInstances", Code: "ExpiredToken", Status: 400, Times: 8}}},
		"revoked": {set: func(f *field) {
			require.NoError(f.t, f.sim.RevokeSessions(f.t.Context(), client.Revocation{Account: fieldAccount, Code: "ExpiredToken"}))
		}},
		"lag":       {delays: func(d *client.Delays) { d.Lag = 60 }},
		"invisible": {delays: func(d *client.Delays) { d.Visibility = 60 }},
		"slow":      {delays: func(d *client.Delays) { d.Pending = 80 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			d := client.AWSDelays()
			if c.delays != nil {
				c.delays(&d)
			}
			f := newField(t, ec2sim.Options{})
			m := f.join("web", f.machine())
			require.NoError(t, f.sim.SetDelays(t.Context(), d))
			for _, fault := range c.faults {
				f.fault(fault)
			}
			if c.set != nil {
				c.set(f)
			}
			out := m.lose()
			live := f.list(`SELECT coalesce(instance_id,'') FROM launches WHERE agent_id = $1 AND instance_id IS NOT NULL`, m.id)
			t.Logf("ROW %s: heir %q after %s, replicas %d, launches %v, instances %d", name, out.SuccessorPool, out.Took.Round(time.Second), out.Replicas, out.Launches, len(live))
			for _, n := range out.Notified {
				t.Logf("NOTE %s: %s", name, n)
			}
			if out.Successor == "" || out.Took > 60*time.Second {
				t.Logf("STEPS %s: %s", name, out.Steps)
			}
		})
	}
}
