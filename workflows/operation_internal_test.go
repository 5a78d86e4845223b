package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestTheDetailsOfAnOperation are a table for people: a phase that is over says how long it took, and no column is
// empty from top to bottom.
func TestTheDetailsOfAnOperation(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	left := 117.25
	for name, c := range map[string]struct {
		in   Progress
		want string
	}{
		"nothing yet": {Progress{AgentID: "a1", Phase: "asking_ec2", Detail: "it begins"},
			"**asking ec2** of agent `a1`: it begins"},
		"a move without a deadline": {Progress{AgentID: "a1", Phase: "launching", Detail: "in t3.medium.us-east-1a", Steps: []ProgressStep{
			{Name: "choosing", Status: stepStarted, Detail: "a | b", At: at},
			{Name: "launch in t3.medium.us-east-1c", Status: stepFailed, Detail: "no capacity", At: at.Add(time.Second)},
			{Name: "launching", Status: stepStarted, At: at.Add(1500 * time.Millisecond)},
		}}, `**launching** of agent ` + "`a1`" + `: in t3.medium.us-east-1a

| time (UTC) | step | status | detail |
|---|---|---|---|
| 10:00:00.000 | choosing | took 1.5s | a / b |
| 10:00:01.000 | launch in t3.medium.us-east-1c | failed | no capacity |
| 10:00:01.500 | launching | started |  |`},
		"a failover that has ended": {Progress{AgentID: "a1", Phase: "done", Detail: "i-2 leads", Steps: []ProgressStep{
			{Name: "judging", Status: stepStarted, At: at, SecondsLeft: &left},
			{Name: "primary changed", Status: stepDone, At: at.Add(time.Second)},
		}}, `**done** of agent ` + "`a1`" + `: i-2 leads

| time (UTC) | step | status | detail | s left |
|---|---|---|---|---|
| 10:00:00.000 | judging | ended |  | 117.2 |
| 10:00:01.000 | primary changed | done |  | - |`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.in.markdown())
		})
	}
}
