package activities_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
)

// TestASwitchShowsItsTimesInWords beside the numbers, which other workers read.
func TestASwitchShowsItsTimesInWords(t *testing.T) {
	t.Parallel()
	facts := &activities.SwitchFacts{AgentID: "a", KeepOld: 5 * time.Minute,
		Change: &activities.SwitchChange{OldID: "i-old", KeepLeft: 90 * time.Second}}
	raw, err := json.Marshal(facts)
	require.NoError(t, err)
	require.Contains(t, string(raw), `"keep_old":300000000000,`)
	require.Contains(t, string(raw), `"keep_old_text":"5m0s"`)
	require.Contains(t, string(raw), `"keep_left_text":"1m30s"`)

	var again activities.SwitchFacts
	require.NoError(t, json.Unmarshal(raw, &again))
	require.Equal(t, facts, &again)
}
