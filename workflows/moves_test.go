package workflows_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
	"spotkeeper/workflows"
)

// desk keeps one order and plays the Guardian that receives it.
type desk struct {
	status    string
	cancelled []string
	asked     []workflows.RequestSwitchInput
	refuse    error
}

func (d *desk) Order(_ context.Context, in switching.SwitchRequest) (*switching.SwitchCommand, error) {
	return &switching.SwitchCommand{
		ID:            "c1",
		AgentID:       in.AgentID,
		Status:        d.status,
		Priority:      in.Priority,
		TerminateWait: 60,
	}, nil
}

func (d *desk) Cancel(_ context.Context, id, why string) error {
	d.cancelled = append(d.cancelled, id+": "+why)
	return nil
}

func (d *desk) RequestSwitch(
	_ context.Context,
	_ string,
	in workflows.RequestSwitchInput,
) (*workflows.OperationAnswer, error) {
	d.asked = append(d.asked, in)
	return &workflows.OperationAnswer{OperationID: workflows.SwitchID(in.CommandID)}, d.refuse
}

func TestMove(t *testing.T) {
	t.Parallel()

	order := switching.SwitchRequest{
		ID:       "c1",
		AgentID:  "a1",
		Target:   switching.Target{Mode: agent.OnDemand},
		Priority: switching.PriorityModel,
		Reason:   "cheaper",
	}
	for _, tt := range []struct {
		name      string
		desk      desk
		code      fault.Code
		asked     int
		cancelled []string
	}{
		{"taken", desk{status: switching.Pending}, "", 1, nil},
		{"refused, so the order is taken back", desk{
			status: switching.Pending,
			refuse: switching.Busy.New("another one"),
		}, switching.Busy, 1, []string{"c1: another one"}},
		{"nobody heard of it, likewise", desk{
			status: switching.Pending,
			refuse: workflows.Unreachable.New("away"),
		}, workflows.Unreachable, 1, []string{"c1: away"}},
		{"it may have been taken: a switch without its command would be worse", desk{
			status: switching.Pending,
			refuse: workflows.NoAnswer.New("late"),
		}, workflows.NoAnswer, 1, nil},
		{"it is over", desk{status: "completed"}, switching.AlreadyDone, 0, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			moved, err := (&workflows.SwitchOrders{Commands: &tt.desk, Guardians: &tt.desk}).OrderSwitch(t.Context(), order)
			require.Equal(t, tt.code, fault.CodeOf(err))
			require.Len(t, tt.desk.asked, tt.asked)
			require.Equal(t, tt.cancelled, tt.desk.cancelled)
			if tt.code != "" {
				return
			}
			require.Equal(t, &switching.StartedSwitch{CommandID: "c1", OperationID: "switch/c1"}, moved)
			require.Equal(t, workflows.RequestSwitchInput{
				CommandID: "c1",
				Target:    order.Target,
				Reason:    "cheaper",
				Trigger:   "model",
			}, tt.desk.asked[0])
		})
	}
}
