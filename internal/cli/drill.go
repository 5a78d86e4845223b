package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// drill sends the notice that an agent would send, through the real path: the standby takes
// over, and the old instance runs on because the notice does not come from AWS.
func (p *program) drill() *cobra.Command {
	old, yes, next, every := "keep", false, false, 30*24*time.Hour
	c := p.command("drill [AGENT]", "Rehearse a failover: a simulated notice for an agent that is marked for drills", cobra.MaximumNArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			switch {
			case old != "keep" && old != "end":
				return fmt.Errorf("--old is keep or end, not %q", old)
			case next == (len(args) == 1):
				return errors.New("name an agent, or have one chosen with --next")
			case next && !yes:
				return errors.New("--next is for timers, which confirm nothing: it wants --yes")
			}
			var agent *client.FleetAgent
			var err error
			if next {
				if agent, err = p.nextDrill(c.Context(), api, every, time.Now()); errors.Is(err, errNothingDue) {
					c.Println(err)
					return nil
				}
			} else {
				agent, err = p.findAgent(c.Context(), api, args[0])
			}
			if err != nil {
				return err
			}
			if err := drillable(agent, p.target.Drills); err != nil {
				return err
			}
			if !yes {
				if err := confirm(c, agent, old); err != nil {
					return err
				}
			}
			id, err := sendNotice(c.Context(), api, agent)
			if err != nil {
				return err
			}
			f := &follower{program: p, api: api, out: c.OutOrStdout(), old: old, instance: agent.Primary.InstanceId}
			return f.toItsEnd(c, id)
		})
	c.Flags().StringVar(&old, "old", old, "what becomes of the instance that the notice is about: keep or end")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask for the agent's name first")
	c.Flags().BoolVar(&next, "next", false, "choose the marked agent whose last failover is the longest ago, if one is due")
	c.Flags().DurationVar(&every, "every", every, "with --next: a failover that is not older is enough")
	c.ValidArgsFunction = p.completeAgents
	return c
}

// drillable refuses an agent that is not marked for drills, or that a failover would not
// find as it should be: a drill is to measure the failover, not to make an outage.
func drillable(a *client.FleetAgent, marked []string) error {
	switch {
	case !slices.Contains(marked, a.Id) && !slices.Contains(marked, a.Name):
		return fmt.Errorf("agent %s is not marked for drills: spotkeeper context set NAME --drills %s marks it for a context "+
			"(the mark holds for the context's server only)", a.Name, a.Id)
	case a.Primary == nil:
		return fmt.Errorf("agent %s has no primary that could be lost", a.Name)
	case !a.Enabled:
		return fmt.Errorf("agent %s is disabled", a.Name)
	case a.Pause != nil:
		return fmt.Errorf("agent %s is paused: spotkeeper resume --agent %s lifts that", a.Name, a.Id)
	case a.Notice != nil:
		return fmt.Errorf("agent %s has a notice of AWS already", a.Name)
	case a.Operation != nil:
		return fmt.Errorf("agent %s is busy with %s: wait until it has ended", a.Name, a.Operation.Id)
	case a.Standby == nil || a.Standby.State != client.FleetStandbyStateReady:
		return fmt.Errorf("agent %s has no standby that is ready: a drill would be an outage", a.Name)
	}
	return nil
}

// confirm requires the agent's name on standard input.
func confirm(c *cobra.Command, a *client.FleetAgent, old string) error {
	fate := "It runs on and costs money until you end it."
	if old == "end" {
		fate = "It is ended some minutes later."
	}
	c.PrintErrf("Agent %s of %s moves from %s to its standby %s, as if AWS took %s. %s\nType the agent's name to go on: ",
		clean(a.Name), clean(a.ClientName), a.Primary.InstanceId, text(a.Standby.InstanceId), a.Primary.InstanceId, fate)
	typed, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if strings.TrimSpace(typed) != a.Name {
		return errors.New("nothing was done: a drill wants the agent's name, or --yes")
	}
	return nil
}

// sendNotice answers the operation that follows the notice. A refusal that no successor is
// known is one of the answer only: the notice is acted on all the same, so it names the
// operation to look at.
func sendNotice(ctx context.Context, api *client.ClientWithResponses, a *client.FleetAgent) (string, error) {
	notice := client.TerminationRequest{InstanceId: &a.Primary.InstanceId}
	out, err := answer(api.TerminationImminentWithResponse(ctx, a.Id, notice))
	id := "termination/" + a.Id + "/" + a.Primary.InstanceId
	switch {
	case err != nil:
		return "", fmt.Errorf("the notice was not answered as it should be, spotkeeper ops show %s says whether it was taken: %w",
			id, err)
	case text(out.OperationId) == "" || out.Action != "replica_promoted" && out.Action != "failover_in_progress":
		return "", fmt.Errorf("the notice led to no failover (%s): %s", out.Action, out.Message)
	}
	return text(out.OperationId), nil
}

// follower prints the steps of an operation as they come.
type follower struct {
	*program

	api      *client.ClientWithResponses
	out      io.Writer
	old      string // what is decided about the old instance when the operation asks
	instance string // the old one
	shown    int    // steps that were printed
	decided  bool
	misses   int
}

// mostMisses is how many looks in a row may fail: a drill takes minutes, in which an api may
// be replaced.
const mostMisses = 20

// toItsEnd follows the operation. The old instance outlives its deadline, because AWS does
// not take it: that is when the operation asks, and the decision ends it.
func (f *follower) toItsEnd(c *cobra.Command, id string) error {
	ctx := c.Context()
	for {
		o, err := answer(f.api.GetOperationWithResponse(ctx, id, nil))
		if err == nil {
			err = f.look(ctx, o)
		}
		if f.misses++; err == nil {
			f.misses = 0
		}
		switch {
		case ctx.Err() != nil || f.misses > mostMisses:
			return fmt.Errorf("the drill goes on without being watched, spotkeeper ops show %s shows it: %w", id,
				errors.Join(err, ctx.Err()))
		case err != nil:
			c.PrintErrln("asking again:", err)
		case o.State != "running":
			return f.verdict(c, o)
		}
		select {
		case <-ctx.Done():
		case <-time.After(lookEvery):
		}
	}
}

// look prints what is new and decides what the operation asks for.
func (f *follower) look(ctx context.Context, o *client.OperationDetail) error {
	for ; f.shown < len(o.Steps) && f.format == "table"; f.shown++ {
		s := o.Steps[f.shown]
		_, err := fmt.Fprintf(f.out, "%9.3f s  %-8s %-24s %s\n", float64(s.SinceMs)/1e3, s.Status, clean(s.Name), clean(s.Detail))
		if err != nil {
			return err
		}
	}
	if f.decided || text(o.Asks) != string(client.OperationDetailAsksLeftOver) {
		return nil
	}
	err := decideLeftOver(ctx, f.api, f.instance, client.LeftOverRequestAction(f.old))
	f.decided = err == nil
	return err
}

// verdict says how long the failover took. One that nothing took over in has failed.
func (f *follower) verdict(c *cobra.Command, o *client.OperationDetail) error {
	if f.format != "table" {
		if err := f.print(c, o, nil); err != nil {
			return err
		}
	} else {
		took := "no change of the primary was recorded"
		for _, s := range o.Steps {
			if s.Name == "primary changed" {
				took = fmt.Sprintf("%s leads %.3f s after the notice", o.NewInstanceId, float64(s.SinceMs)/1e3)
			}
		}
		c.Printf("%s: %s (%s)\n", o.State, clean(o.Summary), took)
	}
	if o.State != "succeeded" {
		return fmt.Errorf("%s has %s: %s", o.Id, o.State, text(o.ErrorMessage))
	}
	return nil
}
