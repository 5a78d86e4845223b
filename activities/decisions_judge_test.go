package activities_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// TestASessionsEngineJudges by what is stored, and by the caller's prices where nothing
// is. Nothing is kept or ordered.
func TestASessionsEngineJudges(t *testing.T) {
	t.Parallel()
	l := &ledger{}
	d := &activities.Decisions{Store: l, EngineOf: func(id string) engine.Engine {
		if id == "s1" {
			return engine.Rules{}
		}
		return nil
	}}
	got, err := d.Judge(t.Context(), activities.JudgeInput{SessionID: "s1", AgentID: "a1"})
	require.NoError(t, err)
	require.Equal(t, engine.Stay, got.Action)
	require.Empty(t, l.kept)

	_, err = d.Judge(t.Context(), activities.JudgeInput{SessionID: "s2", AgentID: "a1"})
	require.Equal(t, engine.NotLoaded, fault.CodeOf(err))
}
