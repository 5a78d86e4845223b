package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// owed is a decision that waits for a person.
type owed struct {
	Kind    string   `json:"kind"`    // left_over, rollout or move
	ID      string   `json:"id"`      // what approve takes
	Since   string   `json:"since"`   // RFC 3339 in UTC
	What    string   `json:"what"`    // in one sentence
	Choices []string `json:"choices"` // flags of approve
}

// The decisions there are, by what they are about.
var (
	leftOverChoices = []string{"end", "keep"}
	rolloutChoices  = []string{"promote", "resume", "abort"}
	moveChoices     = []string{"move", "stay"}
)

func (p *program) approve() *cobra.Command {
	choices := map[string]*bool{}
	c := p.command("approve [INSTANCE|SESSION|MOVE]", "List the decisions that wait for a person, or make one", cobra.MaximumNArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			var chosen []string
			for _, name := range slices.Concat(leftOverChoices, rolloutChoices, moveChoices) {
				if *choices[name] {
					chosen = append(chosen, name)
				}
			}
			switch {
			case len(args) == 0 && len(chosen) == 0:
				return p.listOwed(c, api)
			case len(args) == 0 || len(chosen) != 1:
				return errors.New("say what is decided and how: an instance with --end or --keep, " +
					"a rollout's session with --promote, --resume or --abort, a move with --move or --stay")
			}
			note, err := decide(c.Context(), api, args[0], chosen[0])
			if err != nil {
				return err
			}
			c.Printf("%s: %s\n", args[0], chosen[0])
			if note != "" {
				c.Println(clean(note))
			}
			return nil
		})
	for name, help := range map[string]string{
		"end":     "have a left-over instance ended",
		"keep":    "leave a left-over instance to its owner; it goes on costing money",
		"promote": "let a rollout go on to its next stage now",
		"resume":  "let the clock of a paused rollout go on",
		"abort":   "end a rollout and put back what was live before it",
		"move":    "approve a voluntary move: it is made while it is still worth it",
		"stay":    "reject a voluntary move: the agent stays",
	} {
		choices[name] = c.Flags().Bool(name, false, help)
	}
	return c
}

func (p *program) listOwed(c *cobra.Command, api *client.ClientWithResponses) error {
	list, err := p.owed(c.Context(), api)
	if err != nil {
		return err
	}
	return p.print(c, list, func(t *table) {
		t.row("SINCE", "KIND", "ID", "CHOICES", "WHAT")
		for _, x := range list {
			t.row(x.Since, x.Kind, x.ID, "--"+strings.Join(x.Choices, " --"), x.What)
		}
	})
}

// mostLooked is how many running terminations are looked through.
const mostLooked = 2000

// owed lists old instances that AWS has not taken, voluntary moves that a client's rules ask
// about, and rollouts that stand still. Rollouts are the operators': a tenant's token lists none.
func (p *program) owed(ctx context.Context, api *client.ClientWithResponses) ([]owed, error) {
	ops, err := pages(mostLooked, func(limit *int, after *string) ([]client.OperationAnswer, *string, error) {
		page, err := answer(api.ListOperationsWithResponse(ctx, &client.ListOperationsParams{
			ClientId: given[string](p.target.Client), Limit: limit, After: after,
			Kind:  given[client.ListOperationsParamsKind]("termination"),
			State: given[client.ListOperationsParamsState]("running")}))
		if err != nil {
			return nil, nil, err
		}
		return page.Operations, page.Next, nil
	})
	if err != nil {
		return nil, err
	}
	out := []owed{}
	for _, o := range ops {
		if text(o.Asks) == string(client.OperationAnswerAsksLeftOver) {
			out = append(out, owed{"left_over", o.InstanceId, at(o.UpdatedAt), text(o.WaitsFor), leftOverChoices})
		}
	}
	moves, err := p.pendingMoves(ctx, api)
	if err != nil {
		return nil, err
	}
	out = append(out, moves...)
	if p.target.Client != "" {
		return out, nil
	}
	list, err := answer(api.ListRolloutsWithResponse(ctx))
	if r, ok := errors.AsType[*refused](err); ok && r.status == http.StatusForbidden {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range list.Rollouts {
		if r.Paused && r.EndedAt == nil {
			out = append(out, owed{"rollout", r.SessionId, cell(r.StageSince),
				fmt.Sprintf("the rollout is paused in %s at %d %% of the agents", r.Phase, r.Percent), rolloutChoices})
		}
	}
	return out, nil
}

func (p *program) pendingMoves(ctx context.Context, api *client.ClientWithResponses) ([]owed, error) {
	found, err := pages(mostLooked, func(limit *int, after *string) ([]client.ApprovalItem, *string, error) {
		page, err := answer(api.ListApprovalsWithResponse(ctx, &client.ListApprovalsParams{
			ClientId: given[string](p.target.Client), Limit: limit, After: after,
			State: given[client.ListApprovalsParamsState]("pending")}))
		if err != nil {
			return nil, nil, err
		}
		return page.Approvals, page.Next, nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]owed, 0, len(found))
	for _, x := range found {
		place := "on-demand"
		if x.TargetPoolId != nil {
			place = *x.TargetPoolId
		}
		out = append(out, owed{"move", x.Id, at(x.AskedAt), fmt.Sprintf("%s is to move from %s to %s, unanswered it stays at %s: %s",
			x.AgentName, x.InstanceId, place, at(x.ExpiresAt), x.Reason), moveChoices})
	}
	return out, nil
}

// decide makes one decision. The note says what may keep an approved move from being made.
func decide(ctx context.Context, api *client.ClientWithResponses, id, choice string) (note string, err error) {
	switch choice {
	case "move":
		var out *client.ApprovalAnswer
		if out, err = answer(api.ApproveMoveWithResponse(ctx, id)); err == nil {
			note = text(out.Note)
		}
	case "stay":
		_, err = answer(api.RejectMoveWithResponse(ctx, id))
	case "promote":
		_, err = answer(api.PromoteRolloutWithResponse(ctx, id))
	case "resume":
		_, err = answer(api.ResumeRolloutWithResponse(ctx, id))
	case "abort":
		_, err = answer(api.AbortRolloutWithResponse(ctx, id))
	default:
		err = decideLeftOver(ctx, api, id, client.LeftOverRequestAction(choice))
	}
	return note, err
}

func decideLeftOver(ctx context.Context, api *client.ClientWithResponses, instance string, action client.LeftOverRequestAction) error {
	_, err := api.DecideLeftOverWithResponse(ctx, instance, client.LeftOverRequest{Action: action})
	return err
}
