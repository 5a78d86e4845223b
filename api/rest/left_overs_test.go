package rest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// leftOver is an old primary of a1 that AWS was to end.
const leftOver = `INSERT INTO instances (id, client_id, agent_id, role, instance_type, region, az, pool_id,
		terminate_by, retiring_since)
	VALUES ('i-left', 'c1', 'a1', 'retiring', 't3.medium', 'us-east-1', 'us-east-1a', 't3.medium.us-east-1a',
		'aws', now())`

// TestAPersonDecidesOnALeftOver: an old primary that AWS was to end and has not taken.
func TestAPersonDecidesOnALeftOver(t *testing.T) {
	t.Parallel()

	s := newStack(t)
	s.exec(leftOver)
	s.exec(strings.NewReplacer("i-left", "i-agents", "'aws'", "'agent'").Replace(leftOver))
	fate := func(id string) string {
		return s.value(`SELECT role || ' ' || terminate_by FROM instances WHERE id = $1`, id)
	}
	decide := func(id, action string) int {
		return s.call(s.acme, "POST", "/api/client/instances/"+id+"/left-over", `{"action":"`+action+`"}`).status
	}
	require.Equal(t, http.StatusBadRequest, decide("i-left", "sell"))
	require.Equal(t, http.StatusConflict, decide("i-1", "end"), "a primary")
	require.Equal(t, http.StatusConflict, decide("i-agents", "end"), "its agent ends it")
	require.Equal(t, "retiring aws", fate("i-left"))
	require.Equal(t, http.StatusAccepted, decide("i-left", "end"))
	require.Equal(t, http.StatusAccepted, decide("i-left", "end"), "again")
	require.Equal(t, "retiring us", fate("i-left"))
	require.Equal(t, http.StatusConflict, decide("i-left", "keep"), "it is being ended")
	s.exec(strings.ReplaceAll(leftOver, "i-left", "i-kept"))
	require.Equal(t, http.StatusAccepted, decide("i-kept", "keep"))
	require.Equal(t, "retired nobody", fate("i-kept"))
	require.Equal(t, "2", s.value(`SELECT count(*)::text FROM events WHERE type = 'left_over_decided'`))
}
