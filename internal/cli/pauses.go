package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// scope is what a pause is for: exactly one of all agents, a client's and one agent.
type scope struct {
	all   bool
	agent string
}

func (s *scope) flags(c *cobra.Command) {
	c.Flags().BoolVar(&s.all, "all", false, "all agents of all clients")
	c.Flags().StringVar(&s.agent, "agent", "", "one agent")
}

// resolve answers the ids that a request carries.
func (p *program) scope(ctx context.Context, api *client.ClientWithResponses, s scope) (clientID, agentID *string, err error) {
	switch {
	case s.all && s.agent != "":
		return nil, nil, errors.New("--all and --agent exclude each other")
	case s.all:
		return nil, nil, nil
	case s.agent != "":
		agent, err := p.findAgent(ctx, api, s.agent)
		if err != nil {
			return nil, nil, err
		}
		return nil, &agent.Id, nil
	case p.target.Client != "":
		return given[string](p.target.Client), nil, nil
	}
	return nil, nil, errors.New("say whose moves: --all, --client or --agent")
}

func (p *program) pause() *cobra.Command {
	var s scope
	var reason string
	length := time.Hour
	c := p.command("pause", "Stop voluntary moves for a while; rescues go on", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			clientID, agentID, err := p.scope(c.Context(), api, s)
			if err != nil {
				return err
			}
			minutes := int(length.Round(time.Minute) / time.Minute)
			body := client.AnyPauseRequest{ClientId: clientID, AgentId: agentID, Minutes: &minutes, Reason: given[string](reason)}
			if s.all {
				body.Scope = given[client.AnyPauseRequestScope]("global")
			}
			out, err := answer(api.PauseMovesWithResponse(c.Context(), body))
			if err != nil {
				return err
			}
			return p.print(c, out, func(t *table) { t.row("paused until", out.Until) })
		})
	s.flags(c)
	c.Flags().DurationVar(&length, "for", length, "how long, as 90m or 4h")
	c.Flags().StringVar(&reason, "reason", "", "why; others see it")
	return c
}

func (p *program) resume() *cobra.Command {
	var s scope
	c := p.command("resume", "Lift a pause", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			clientID, agentID, err := p.scope(c.Context(), api, s)
			if err != nil {
				return err
			}
			params := &client.ResumeMovesParams{ClientId: clientID, AgentId: agentID}
			if s.all {
				params.Scope = given[client.ResumeMovesParamsScope]("global")
			}
			out, err := answer(api.ResumeMovesWithResponse(c.Context(), params))
			if err != nil {
				return err
			}
			return p.print(c, out, func(t *table) {
				t.row("lifted", out.Lifted)
				for _, still := range out.StillPaused {
					t.row("still paused", string(still.Scope)+" until "+at(still.Until)+": "+still.Reason)
				}
			})
		})
	s.flags(c)
	return c
}

func (p *program) pauses() *cobra.Command {
	return p.command("pauses", "List the pauses that hold", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			list, err := answer(api.ListAllPausesWithResponse(c.Context()))
			if err != nil {
				return err
			}
			return p.print(c, list, func(t *table) {
				t.row("SCOPE", "CLIENT", "AGENT", "UNTIL", "BY", "REASON")
				for _, x := range list.Pauses {
					t.row(x.Scope, x.ClientId, x.AgentId, x.Until, x.CreatedBy, x.Reason)
				}
			})
		})
}
