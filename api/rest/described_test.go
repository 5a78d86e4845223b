package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOperationsAreChosenByTheirCause(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`INSERT INTO operations (id, kind, client_id, agent_id, summary, cause, tend_at) VALUES
		('switch/1', 'switch', 'c1', 'a1', 'a move', 'cheaper', now()), ('switch/2', 'switch', 'c1', 'a1', 'a move', 'rebalance', now()),
		('switch/3', 'switch', 'c2', 'b1', 'a move', 'cheaper', now())`)
	require.Len(t, s.call(operatorToken, "GET", "/api/operations?cause=cheaper", "").body["operations"], 2)
	require.Len(t, s.call(s.acme, "GET", "/api/operations?cause=cheaper", "").body["operations"], 1)
	require.Empty(t, s.call(s.acme, "GET", "/api/operations?cause=cheap", "").body["operations"])
}
