package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// answer takes the body out of a generated client's response.
func answer[T any](resp interface{ GetJSON200() *T }, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	if out := resp.GetJSON200(); out != nil {
		return out, nil
	}
	return nil, errNoJSON
}

// created is answer for what the API makes.
func created[T any](resp interface{ GetJSON201() *T }, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	if out := resp.GetJSON201(); out != nil {
		return out, nil
	}
	return nil, errNoJSON
}

var errNoJSON = errors.New("the API's answer is no JSON: is there a proxy before it that answers itself?")

// most is how many rows a list has unless --limit says otherwise.
const most = 50

// perPage is the most that the API gives in one answer.
const perPage = 200

// pages reads pages until there are limit items, or no more.
func pages[T any](limit int, read func(limit *int, after *string) ([]T, *string, error)) ([]T, error) {
	if limit < 1 {
		return nil, errors.New("--limit is at least 1")
	}
	out := []T{}
	var after *string
	for len(out) < limit {
		n := min(limit-len(out), perPage)
		items, next, err := read(&n, after)
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
		if next == nil || len(items) == 0 {
			break
		}
		after = next
	}
	return out, nil
}

func (p *program) agents() *cobra.Command {
	var status, mode, needs, query string
	limit := most
	list := p.command("agents", "List agents, or show one", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			agents, err := pages(limit, func(limit *int, after *string) ([]client.FleetAgent, *string, error) {
				page, err := answer(api.ListFleetWithResponse(c.Context(), &client.ListFleetParams{
					ClientId: given[string](p.target.Client),
					Status:   given[client.ListFleetParamsStatus](status),
					Mode:     given[client.ListFleetParamsMode](mode),
					Needs:    given[client.ListFleetParamsNeeds](needs),
					Q:        given[string](query), Limit: limit, After: after}))
				if err != nil {
					return nil, nil, err
				}
				return page.Agents, page.Next, nil
			})
			if err != nil {
				return err
			}
			return p.print(c, agents, func(t *table) { agentRows(t, agents) })
		})
	flags := list.Flags()
	flags.StringVar(&status, "status", "", "online, offline, disabled, switching or error")
	flags.StringVar(&mode, "mode", "", "spot or ondemand")
	flags.StringVar(&needs, "needs", "", "primary, standby (those that lack one) or pause (those that are paused)")
	flags.StringVarP(&query, "query", "q", "", "part of a name, an instance or a pool")
	flags.IntVar(&limit, "limit", limit, "the most rows")
	show := p.command("show AGENT", "Show the roles of an agent", cobra.ExactArgs(1), p.showAgent)
	show.ValidArgsFunction = p.completeAgents
	list.AddCommand(show)
	return list
}

func agentRows(t *table, agents []client.FleetAgent) {
	t.row("NAME", "STATUS", "KEEPS", "PRIMARY", "POOL", "MODE", "STANDBY", "DOES", "ID")
	for _, a := range agents {
		primary, pool, mode, standby, does := "none", "", "", "", ""
		if a.Primary != nil {
			primary, pool, mode = a.Primary.InstanceId, a.Primary.PoolId, string(a.Primary.Mode)
		}
		if a.Standby != nil {
			standby = string(a.Standby.State)
		}
		if a.Operation != nil {
			does = string(a.Operation.Kind) + ": " + a.Operation.Phase
		}
		t.row(a.Name, a.Status, a.Keeping, primary, pool, mode, standby, does, a.Id)
	}
}

func (p *program) showAgent(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
	agent, err := p.findAgent(c.Context(), api, args[0])
	if err != nil {
		return err
	}
	s, err := answer(api.GetAgentStateWithResponse(c.Context(), agent.Id))
	if err != nil {
		return err
	}
	return p.print(c, s, func(t *table) {
		t.row("agent", agent.Name+" "+s.AgentId)
		t.row("client", agent.ClientName+" "+s.ClientId)
		t.row("status", s.Status)
		t.row("keeps", s.Keeping)
		t.row("launcher", s.Launcher)
		t.row("epoch", s.Epoch)
		if s.Primary != nil {
			t.row("primary", fmt.Sprintf("%s in %s (%s, %s)", s.Primary.Id, s.Primary.PoolId, s.Primary.Mode, s.Primary.Proof))
		}
		for _, r := range s.Replicas {
			t.row("replica", fmt.Sprintf("%s %s in %s (%s)", r.State, r.InstanceId, r.PoolId, r.Kind))
		}
		for _, o := range s.Operations {
			t.row(o.Kind, o.Phase+" "+o.Id)
		}
	})
}

// agentID finds the id of an agent that a filter names, or "" when it names none.
func (p *program) agentID(ctx context.Context, api *client.ClientWithResponses, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	found, err := p.findAgent(ctx, api, name)
	if err != nil {
		return "", err
	}
	return found.Id, nil
}

// findAgent takes an agent's id or its name.
func (p *program) findAgent(ctx context.Context, api *client.ClientWithResponses, name string) (*client.FleetAgent, error) {
	n := perPage
	page, err := answer(api.ListFleetWithResponse(ctx, &client.ListFleetParams{
		ClientId: given[string](p.target.Client), Q: &name, Limit: &n}))
	if err != nil {
		return nil, err
	}
	var found []client.FleetAgent
	for _, a := range page.Agents {
		if a.Id == name {
			return &a, nil
		}
		if a.Name == name {
			found = append(found, a)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("there is no agent %q: spotkeeper agents lists them", name)
	case 1:
		return &found[0], nil
	}
	owners := make([]string, len(found))
	for i, a := range found {
		owners[i] = a.Id + " of " + a.ClientName
	}
	return nil, fmt.Errorf("several agents are called %q, say which by its id: %s", name, clean(strings.Join(owners, ", ")))
}

func (p *program) completeAgents(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	api, err := p.connect()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	n := perPage
	page, err := answer(api.ListFleetWithResponse(c.Context(), &client.ListFleetParams{
		ClientId: given[string](p.target.Client), Q: given[string](typed), Limit: &n}))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	names := make([]string, len(page.Agents))
	for i, a := range page.Agents {
		names[i] = a.Name
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (p *program) explain() *cobra.Command {
	c := p.command("explain AGENT", "Say in sentences why an agent moves or stays", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			agent, err := p.findAgent(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			e, err := answer(api.ExplainAgentWithResponse(c.Context(), agent.Id))
			if err != nil {
				return err
			}
			return p.print(c, e, func(t *table) {
				for _, sentence := range e.Sentences {
					t.row(sentence)
				}
			})
		})
	c.ValidArgsFunction = p.completeAgents
	return c
}

func (p *program) notices() *cobra.Command {
	var agent, door, kind, state string
	limit := most
	c := p.command("notices", "List what AWS announced, newest first", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			agentID, err := p.agentID(c.Context(), api, agent)
			if err != nil {
				return err
			}
			notices, err := pages(limit, func(limit *int, after *string) ([]client.NoticeItem, *string, error) {
				page, err := answer(api.ListNoticesWithResponse(c.Context(), &client.ListNoticesParams{
					ClientId: given[string](p.target.Client), AgentId: given[string](agentID),
					Door:  given[client.ListNoticesParamsDoor](door),
					Kind:  given[client.ListNoticesParamsKind](kind),
					State: given[client.ListNoticesParamsState](state), Limit: limit, After: after}))
				if err != nil {
					return nil, nil, err
				}
				return page.Notices, page.Next, nil
			})
			if err != nil {
				return err
			}
			return p.print(c, notices, func(t *table) {
				t.row("ARRIVED", "KIND", "AGENT", "INSTANCE", "POOL", "DOOR", "RESULT", "NEW PRIMARY")
				for _, n := range notices {
					t.row(n.ArrivedAt, n.Kind, n.AgentName, n.InstanceId, n.PoolId, n.Door, n.Result, n.NewPrimary)
				}
			})
		})
	flags := c.Flags()
	flags.StringVar(&agent, "agent", "", "of this agent only")
	flags.StringVar(&door, "door", "", "http, eventbridge, describe or sweep")
	flags.StringVar(&kind, "kind", "", "termination-notice or rebalance-recommendation")
	flags.StringVar(&state, "state", "", "open or all")
	flags.IntVar(&limit, "limit", limit, "the most rows")
	return c
}

func (p *program) pools() *cobra.Command {
	var region, kind string
	c := p.command("pools", "List spot pools with prices, interruptions and refused launches", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			list, err := answer(api.ListPoolsWithResponse(c.Context(), &client.ListPoolsParams{
				ClientId: given[string](p.target.Client), Region: given[string](region),
				InstanceType: given[string](kind)}))
			if err != nil {
				return err
			}
			return p.print(c, list.Pools, func(t *table) {
				t.row("POOL", "USD/H", "OF ON-DEMAND", "RUNNING", "ENDED 24H", "REBALANCE 24H", "REFUSED 1H", "RETRY AFTER")
				for _, x := range list.Pools {
					t.row(x.Id, x.Price, x.PriceRatio, x.Instances, x.TerminationsLastDay, x.RebalancesLastDay,
						x.LaunchesRefusedLastHour, x.RetryAfter)
				}
			})
		})
	c.Flags().StringVar(&region, "region", "", "only this region")
	c.Flags().StringVar(&kind, "type", "", "only this instance type")
	return c
}

func (p *program) savings() *cobra.Command {
	months := 3
	c := p.command("savings", "Show what was saved, by month and client", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			list, err := answer(api.ListSavingsByMonthWithResponse(c.Context(), &client.ListSavingsByMonthParams{
				ClientId: given[string](p.target.Client), Months: &months}))
			if err != nil {
				return err
			}
			return p.print(c, list.Months, func(t *table) {
				t.row("MONTH", "CLIENT", "ON-DEMAND USD", "ACTUAL USD", "OF THAT STANDBY", "SAVED USD", "FINAL")
				for _, m := range list.Months {
					t.row(m.Month, m.ClientName, money(m.OnDemandCost), money(m.ActualCost), money(m.StandbyCost),
						money(m.Savings), !m.Provisional)
				}
			})
		})
	c.Flags().IntVar(&months, "months", months, "how many, the running one included")
	return c
}

func money(usd float32) string { return fmt.Sprintf("%.2f", usd) }

func (p *program) schedules() *cobra.Command {
	return p.command("schedules", "List the scheduled jobs and how they ran", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			list, err := answer(api.ListSchedulesWithResponse(c.Context()))
			if err != nil {
				return err
			}
			return p.print(c, list.Schedules, func(t *table) {
				t.row("JOB", "CRON", "PAUSED", "LAST", "ENDED", "NEXT")
				for _, s := range list.Schedules {
					var last, ended, next any
					if len(s.LastRuns) > 0 {
						last, ended = s.LastRuns[0].State, s.LastRuns[0].EndedAt
					}
					if len(s.NextRuns) > 0 {
						next = s.NextRuns[0]
					}
					t.row(s.Id, s.Cron, s.Paused, last, ended, next)
				}
			})
		})
}
