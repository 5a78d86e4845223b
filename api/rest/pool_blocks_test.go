package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPoolsAreBlockedOverHTTP(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.market(0.0300, 0.0131, 0.0119)
	const pool = "/api/pools/t3.medium.us-east-1c"

	s.call(operatorToken, "POST", pool+"/block", `{"reason":"x"}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(operatorToken, "POST", pool+"/block", `{"scope":"global","clientId":"c1","reason":"x"}`).holds(t, 400,
		`{"code":"request.invalid"}`)
	s.call(operatorToken, "POST", pool+"/block", `{"scope":"global","client_id":"c1","reason":"x"}`).holds(t, 400,
		`{"code":"request.invalid"}`)
	s.call(s.acme, "POST", pool+"/block", `{}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(s.acme, "POST", pool+"/block", `{"client_id":"c2","reason":"x"}`).holds(t, 400, `{"code":"request.invalid"}`)
	s.call(s.acme, "POST", pool+"/block", `{"reason":"x","until":"2020-01-01T00:00:00Z"}`).holds(t, 400,
		`{"code":"pool.bad_block"}`)
	s.call(s.acme, "POST", "/api/pools/none/block", `{"reason":"x"}`).holds(t, 404, `{"code":"pool.not_found"}`)

	s.call(s.acme, "POST", pool+"/block", `{"reason":"the disk of that type is slow"}`).holds(t, 200,
		`{"success":true,"until":"*"}`)
	s.call(operatorToken, "POST", pool+"/block", `{"scope":"global","minutes":5,"reason":"AWS"}`).holds(t, 200, `{}`)
	require.Len(t, s.call(s.acme, "GET", "/api/pool-blocks", "").body["blocks"], 2)
	require.Len(t, s.call(s.beta, "GET", "/api/pool-blocks?client_id=c1", "").body["blocks"], 1, "the one of all clients")
	require.Len(t, s.call(operatorToken, "GET", "/api/pool-blocks", "").body["blocks"], 2)
	s.call(s.acme, "POST", "/api/client/instances/i-1/force-switch",
		`{"target":"pool","pool_id":"t3.medium.us-east-1c"}`).holds(t, 409, `{"code":"switch.pool_blocked"}`)
	explained := s.call(s.acme, "GET", "/api/client/agents/a1/explain", "")
	require.Contains(t, explained.raw, "t3.medium.us-east-1c is blocked by")
	require.Contains(t, explained.raw, "the disk of that type is slow")
	left := s.call(s.acme, "POST", pool+"/unblock", `{}`)
	left.holds(t, 200, `{"lifted":true}`)
	require.Len(t, left.body["still_blocked"], 1, "what operators block is theirs to lift")
	s.call(operatorToken, "POST", pool+"/unblock", `{"scope":"global"}`).holds(t, 200, `{"lifted":true}`)
	s.call(s.acme, "POST", "/api/client/instances/i-1/force-switch",
		`{"target":"pool","pool_id":"t3.medium.us-east-1c"}`).holds(t, 200, `{"success":true}`)
}
