package workflows

import (
	"context"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/switching"
)

// CommandOrders is the part of postgres.Commands that keeps orders.
type CommandOrders interface {
	Order(ctx context.Context, in switching.SwitchRequest) (*switching.SwitchCommand, error)
	Cancel(ctx context.Context, id, why string) error
}

// SwitchStarter is the part of Client that starts a switch.
type SwitchStarter interface {
	RequestSwitch(ctx context.Context, agentID string, in RequestSwitchInput) (*OperationAnswer, error)
}

// SwitchOrders order switches for persons and for the engine: the command and its operation
// are durable, then the agent's Guardian judges it and starts the switch. An order
// whose caller dies in between is started by the sweep of open operations.
type SwitchOrders struct {
	Commands  CommandOrders
	Guardians SwitchStarter
}

// OrderSwitch orders a switch, and takes the order back when the Guardian refuses it. An
// order with an id may be given again: the command and the switch are the same.
// Fails as postgres.Commands.Order and Client.RequestSwitch do, and with
// switch.command_already_done for an order that is over.
func (m *SwitchOrders) OrderSwitch(ctx context.Context, in switching.SwitchRequest) (*switching.StartedSwitch, error) {
	command, err := m.Commands.Order(ctx, in)
	if err != nil {
		return nil, err
	}
	if in.ID != "" && command.Status != switching.Pending {
		return nil, switching.AlreadyDone.New("The command is %s already.", command.Status).With("status",
			command.Status)
	}
	answer, err := m.Guardians.RequestSwitch(ctx, in.AgentID, RequestSwitchInput{
		CommandID: command.ID, Target: in.Target, Reason: in.Reason, Trigger: switching.TriggerOf(command.Priority),
	})
	if fault.Is(err, NoAnswer) { // it may have begun; otherwise the sweep starts it
		return nil, err
	}
	if err != nil {
		return nil, m.takeBack(ctx, command.ID, err)
	}
	return &switching.StartedSwitch{CommandID: command.ID, OperationID: answer.OperationID}, nil
}

// takeBack cancels a command whose switch did not begin, also when the caller is
// gone. One that did begin after all is left alone.
func (m *SwitchOrders) takeBack(ctx context.Context, commandID string, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := m.Commands.Cancel(ctx, commandID, why.Error()); err != nil {
		return err
	}
	return why
}
