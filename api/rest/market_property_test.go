package rest_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/prices"
)

// liars are the instances of the client c2 beside i-b: one that lives where a1 could move
// to, one that is unproven, and one on demand.
const liars = `
INSERT INTO agents (id, client_id, logical_agent_id, status, last_heartbeat_at, launcher, keeping) VALUES
	('b2', 'c2', 'near', 'online', now(), 'agent', 'auto'),
	('b3', 'c2', 'unproven', 'online', now(), 'agent', 'auto'),
	('b4', 'c2', 'on-demand', 'online', now(), 'agent', 'auto');
INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id, mode, proof, installed_at)
SELECT 'i-' || agent, 'c2', agent, 'primary', 't3.medium', 'us-east-1', 'us-east-1b', 't3.medium.us-east-1b', mode,
	proof, now() - interval '20 days'
FROM (VALUES ('b2', 'spot', 'launched'), ('b3', 'spot', 'unproven'), ('b4', 'ondemand', 'launched'))
	AS x(agent, mode, proof);
INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher, plan, created_by)
VALUES ('r-choice', 'c1', 'a1', 'manual', 'i-1', 'requested', 'control-plane', '{}', 'test');`

// TestOneTenantsWordChangesNothingForAnother: whatever a client invents of prices, pools,
// zones and interruptions, with its proven instances as with others, no decision, choice,
// explanation, chart or list of pools of another client is another one.
func TestOneTenantsWordChangesNothingForAnother(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0300, 0.0131, 0.0119)
	s.exec(liars)
	before := s.seenByOthers()
	random := rand.New(rand.NewPCG(13, 3)) //nolint:gosec // a reproducible liar
	for round := range 5 {
		for range 40 {
			s.lie(random)
		}
		store := &prices.Prices{DB: s.db}
		_, err := store.Deduplicate(t.Context(), func() {})
		require.NoError(t, err)
		require.Empty(t, differences("", before, s.seenByOthers()), "round %d", round)
	}
	require.Positive(t, s.number(`SELECT count(*) FROM client_prices WHERE client_id = 'c2' AND worth = 'counts'`),
		"the liar was heard")
	require.Positive(t, s.number(`SELECT count(*) FROM interruptions WHERE client_id = 'c2'`))
	require.Positive(t, s.number(`SELECT count(DISTINCT pool_id) FROM client_prices WHERE worth = 'other_pool'`))
	require.Equal(t, "0", s.value(`SELECT count(*)::text FROM client_prices WHERE client_id = 'c1'`))
}

func (s *stack) number(sql string) (n int) {
	s.t.Helper()
	require.NoError(s.t, s.db.Pool.QueryRow(s.t.Context(), sql).Scan(&n))
	return n
}

// lie has the client c2 say something.
func (s *stack) lie(random *rand.Rand) {
	s.t.Helper()
	agents := []string{"b1", "b2", "b3", "b4"}
	agent := agents[random.IntN(len(agents))]
	instance := strings.Replace("i-"+agent, "i-b1", "i-b", 1)
	places := []string{"us-east-1a", "us-east-1b", "us-east-1c", "us-east-1z", "mars-north-7q"}
	kinds := []string{"t3.medium", "t3.medium", "m5.large", "z9.colossal"}
	zone, kind := places[random.IntN(len(places))], kinds[random.IntN(len(kinds))]
	say := func(path string, body any) {
		raw, err := json.Marshal(body)
		require.NoError(s.t, err)
		require.NotEqual(s.t, 500, s.call(s.beta, "POST", path, string(raw)).status, path)
	}
	switch random.IntN(8) {
	case 0:
		n := random.IntN(6)
		say("/api/agents/register", map[string]any{
			"logical_agent_id": fmt.Sprintf("invented-%d", n), "instance_id": fmt.Sprintf("i-invented-%d", n),
			"instance_type": kind, "region": "us-east-1", "az": zone, "mode": "spot",
		})
	case 1:
		say("/api/agents/b3/termination-imminent", map[string]any{"instance_id": "i-b3"})
	case 2:
		say("/api/agents/b3/rebalance-recommendation", map[string]any{"instance_id": "i-b3"})
	case 3:
		say("/api/agents/"+agent+"/replicas", map[string]any{
			"pool_id": kind + "." + zone, "instance_id": fmt.Sprintf("i-invented-%d", 10+random.IntN(9)),
			"replica_type": "manual",
		})
	default:
		pools := make([]map[string]any, 0, 3)
		for _, zone := range places[:1+random.IntN(len(places))] {
			pools = append(pools, map[string]any{
				"pool_id": kind + "." + zone,
				"price":   0.0131 * math.Exp2(4*random.Float64()-2),
			})
		}
		ages := []time.Duration{0, time.Minute, 7 * time.Minute, 26 * time.Hour, 20 * 24 * time.Hour}
		say("/api/agents/"+agent+"/pricing-report", map[string]any{
			"instance": map[string]any{
				"instance_id": instance, "instance_type": kind, "region": "us-east-1", "az": zone, "mode": "spot",
			},
			"pricing": map[string]any{
				"on_demand_price":    0.0416 * math.Exp2(2*random.Float64()-1),
				"current_spot_price": 0.0131 * math.Exp2(4*random.Float64()-2),
				"spot_pools":         pools,
				"collected_at":       time.Now().UTC().Add(-ages[random.IntN(len(ages))]),
			},
		})
	}
}

// seenByOthers is all that the client c1 and an operator see and that decides about c1, as
// far as it concerns the market.
func (s *stack) seenByOthers() any {
	s.t.Helper()
	ctx, out := s.t.Context(), map[string]any{}
	decisions := &decisions.Decisions{DB: s.db}
	one, err := decisions.Input(ctx, "c1", "a1")
	require.NoError(s.t, err)
	many, err := decisions.Inputs(ctx, []string{"a1", "a2"})
	require.NoError(s.t, err)
	for n, in := range append(many, one) {
		in.Now, in.Holds = time.Time{}, engine.Blockers{}
		out[fmt.Sprintf("input %d", n)] = in
	}
	_, out["choice"], err = (&postgres.Launches{DB: s.db}).Choice(ctx, "a1", "r-choice")
	require.NoError(s.t, err)
	out["explain"] = s.call(s.acme, "GET", "/api/client/agents/a1/explain", "").body["now"]
	for path, who := range map[string]string{
		"/api/client/instances/i-1/pricing":           s.acme,
		"/api/client/instances/i-1/price-history":     s.acme,
		"/api/client/instances/i-1/available-options": s.acme,
		"/api/client/pricing-history":                 s.acme,
		"/api/client/c1/reported-prices":              s.acme,
		"/api/pools?client_id=c1":                     s.acme,
		"/api/pools":                                  operatorToken,
		"/api/pools/t3.medium.us-east-1b/prices":      operatorToken,
	} {
		got := s.call(who, "GET", path, "")
		require.Equal(s.t, 200, got.status, "%s: %s", path, got.raw)
		out[path] = json.RawMessage(got.raw)
	}
	raw, err := json.Marshal(out)
	require.NoError(s.t, err)
	var all any
	require.NoError(s.t, json.Unmarshal(raw, &all))
	return all
}

// differences lists where two documents differ by more than the time that instances have
// lived in between makes out.
func differences(at string, a, b any) (out []string) {
	switch x := a.(type) {
	case float64:
		if y, is := b.(float64); is && math.Abs(x-y) <= 1e-4*max(1, math.Abs(x)) {
			return nil
		}
	case map[string]any:
		if y, is := b.(map[string]any); is && len(x) == len(y) {
			for key := range x {
				out = append(out, differences(at+"/"+key, x[key], y[key])...)
			}
			return out
		}
	case []any:
		if y, is := b.([]any); is && len(x) == len(y) {
			for i := range x {
				out = append(out, differences(fmt.Sprintf("%s/%d", at, i), x[i], y[i])...)
			}
			return out
		}
	default:
		if a == b {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: %v is %v", at, a, b)}
}
