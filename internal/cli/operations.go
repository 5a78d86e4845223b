package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

func (p *program) operations() *cobra.Command {
	var agent, kind, state string
	limit := most
	list := p.command("ops", "List operations, newest first, or show one", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			agentID, err := p.agentID(c.Context(), api, agent)
			if err != nil {
				return err
			}
			ops, err := pages(limit, func(limit *int, after *string) ([]client.OperationAnswer, *string, error) {
				page, err := answer(api.ListOperationsWithResponse(c.Context(), &client.ListOperationsParams{
					ClientId: given[string](p.target.Client), AgentId: given[string](agentID),
					Kind:  given[client.ListOperationsParamsKind](kind),
					State: given[client.ListOperationsParamsState](state), Limit: limit, After: after}))
				if err != nil {
					return nil, nil, err
				}
				return page.Operations, page.Next, nil
			})
			if err != nil {
				return err
			}
			return p.print(c, ops, func(t *table) {
				t.row("STARTED", "KIND", "STATE", "PHASE", "SUMMARY", "ID")
				for _, o := range ops {
					t.row(o.StartedAt, o.Kind, o.State, o.Phase, o.Summary, o.Id)
				}
			})
		})
	flags := list.Flags()
	flags.StringVar(&agent, "agent", "", "of this agent only")
	flags.StringVar(&kind, "kind", "", "switch, replica, termination, promotion, removal or adoption")
	flags.StringVar(&state, "state", "", "running, succeeded, failed or cancelled")
	flags.IntVar(&limit, "limit", limit, "the most rows")
	show := p.command("show OPERATION", "Show the steps of an operation", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			return p.showOperation(c, api, args[0])
		})
	cancel := p.command("cancel OPERATION", "Call an operation off", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			_, err := api.CancelOperationWithResponse(c.Context(), args[0])
			if err == nil {
				c.Println("called off:", args[0])
			}
			return err
		})
	list.AddCommand(show, cancel)
	return list
}

func (p *program) showOperation(c *cobra.Command, api *client.ClientWithResponses, id string) error {
	o, err := answer(api.GetOperationWithResponse(c.Context(), id, nil))
	if err != nil {
		return err
	}
	return p.print(c, o, func(t *table) {
		t.row("operation", o.Id)
		t.row("agent", o.AgentName+" "+o.AgentId)
		t.row("state", fmt.Sprintf("%s, %s", o.State, o.Phase))
		t.row("cause", o.Cause)
		t.row("began", o.BeganAt)
		t.row("ended", o.EndedAt)
		t.row("trace", o.TraceId)
		if text(o.ErrorMessage) != "" {
			t.row("error", text(o.ErrorMessage)+" ("+text(o.ErrorCode)+")")
		}
		t.row()
		t.row("AFTER MS", "STEP", "STATUS", "SECONDS LEFT", "DETAIL")
		for _, s := range o.Steps {
			t.row(s.SinceMs, s.Name, s.Status, s.SecondsLeft, s.Detail)
		}
		if len(o.Launches) == 0 {
			return
		}
		t.row()
		t.row("LAUNCH", "POOL", "MODE", "STATE", "INSTANCE", "ERROR")
		for _, l := range o.Launches {
			t.row(l.At, l.PoolId, l.Mode, l.State, l.InstanceId, l.ErrorMessage)
		}
	})
}

// move asks for a switch. It is a change of the fleet that costs money for some
// minutes, so where to is never guessed.
func (p *program) move() *cobra.Command {
	var pool, kind string
	var ondemand, wait bool
	c := p.command("switch AGENT", "Move an agent to another pool, or to on-demand", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			if ondemand == (pool != "") {
				return fmt.Errorf("say where to: --pool %s or --on-demand", "m5.large.us-east-1b")
			}
			agent, err := p.findAgent(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			if agent.Primary == nil {
				return fmt.Errorf("agent %s has no primary that could be moved", agent.Name)
			}
			body := client.ForceSwitchRequest{Target: "pool", PoolId: given[string](pool), NewInstanceType: given[string](kind)}
			if ondemand {
				body.Target = "ondemand"
			}
			s, err := answer(api.ForceSwitchWithResponse(c.Context(), agent.Primary.InstanceId, body))
			if err != nil {
				return err
			}
			if !wait || s.OperationId == "" {
				return p.print(c, s, func(t *table) { t.row(s.Message); t.row("operation", s.OperationId) })
			}
			if err := awaitEnd(c.Context(), api, s.OperationId); err != nil {
				return err
			}
			return p.showOperation(c, api, s.OperationId)
		})
	c.Flags().StringVar(&pool, "pool", "", "to this pool, as <instance type>.<zone>")
	c.Flags().StringVar(&kind, "type", "", "another instance type")
	c.Flags().BoolVar(&ondemand, "on-demand", false, "to an on-demand instance")
	c.Flags().BoolVar(&wait, "wait", false, "until the operation has ended; 1 when it failed")
	c.ValidArgsFunction = p.completeAgents
	return c
}

// standbyModes are the switches of the API for each standby mode.
var standbyModes = map[string]struct{ auto, manual bool }{
	"off":    {false, false},
	"manual": {false, true},
	"auto":   {true, false},
}

// standby chooses when an agent keeps a standby. Another mode retires what the old one kept.
func (p *program) standby() *cobra.Command {
	c := p.command("standby AGENT MODE", "Choose when an agent keeps a standby: manual (always), auto (in danger) or off",
		cobra.ExactArgs(2), func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			mode, ok := standbyModes[args[1]]
			if !ok {
				return fmt.Errorf("a standby mode is manual, auto or off, not %q", args[1])
			}
			agent, err := p.findAgent(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			_, err = answer(api.ConfigureAgentWithResponse(c.Context(), agent.Id,
				client.ModesRequest{AutoSwitchEnabled: &mode.auto, ManualReplicaEnabled: &mode.manual}))
			if err != nil {
				return err
			}
			c.Printf("%s: %s\n", clean(agent.Name), args[1])
			return nil
		})
	c.ValidArgsFunction = p.completeAgents
	return c
}

// lookEvery is the pause between two looks at an operation that runs.
const lookEvery = time.Second

// awaitEnd returns when an operation has ended, with an error when it did not succeed.
func awaitEnd(ctx context.Context, api *client.ClientWithResponses, id string) error {
	for {
		o, err := answer(api.GetOperationWithResponse(ctx, id, nil))
		switch {
		case err != nil:
			return err
		case o.State == "succeeded":
			return nil
		case o.State != "running":
			return fmt.Errorf("%s has %s: %s", id, o.State, text(o.ErrorMessage))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}
