package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// AdoptionStore stores adoptions and what became of them.
type AdoptionStore interface {
	// Claim reads what connects an instance with its client; Over when nothing is left
	// to adopt.
	Claim(ctx context.Context, instanceID string) (*AdoptionClaim, error)
	// RecordAdopted makes an instance the client's, as EC2 shows it.
	RecordAdopted(ctx context.Context, agentID string, i CloudInstance) error
	// Rivals lists the claims of other clients on an unproven instance.
	Rivals(ctx context.Context, instanceID string) ([]AdoptionClaim, error)
	// ReleaseTo takes an unproven instance from its client, for one that EC2 shows as its owner.
	ReleaseTo(ctx context.Context, instanceID, clientID string) error
	// RecordUnproven keeps why an instance is unproven, with one notification per cause.
	RecordUnproven(ctx context.Context, agentID, instanceID string, v adoption.Verdict) error
}

// AdoptionClaim is a claim as Postgres has it, with where to ask about it.
type AdoptionClaim struct {
	adoption.Claim
	AgentID string
	Account Account
	Proof   adoption.Proof
	Over    bool
}

// AdoptInput names an instance.
type AdoptInput struct {
	InstanceID string `json:"instance_id"`
	// Last gives the instance's state as the reason when EC2 still says that more is to
	// come, rather than failing with launch.not_running.
	Last bool `json:"last,omitempty"`
}

// AdoptResult is how the instance stands afterwards.
type AdoptResult struct {
	Proven bool           `json:"proven"`
	Over   bool           `json:"over,omitempty"` // it plays no part any more
	Cause  adoption.Cause `json:"cause,omitempty"`
	Reason string         `json:"reason,omitempty"`
	Repair string         `json:"repair,omitempty"`
}

// Adoptions ask EC2 whether instances that agents have named are their clients', and put
// our tags on those that are. They are regular activities: what they find is written as a
// level and tags are set as one, so each may run any number of times.
type Adoptions struct {
	Store AdoptionStore
	Fleet Fleet
	Log   *slog.Logger
	// OwnAccount is the AWS account of the control plane. Nil: no client's role is of it.
	OwnAccount func(ctx context.Context) (string, error)
	// Market reads the prices of a type that is new to us. Nil: the collection does.
	Market *Prices
}

// AdoptInstance describes an instance through the client's role, judges it, and adopts or
// leaves it. Nothing at EC2 changes unless it is proven. Fails with launch.not_running
// while EC2 will say more in a moment, and as reads do when EC2 does not answer.
func (a *Adoptions) AdoptInstance(ctx context.Context, in AdoptInput) (*AdoptResult, error) {
	claim, err := a.Store.Claim(ctx, in.InstanceID)
	if err != nil || claim.Over {
		return &AdoptResult{
			Over:   true,
			Proven: err == nil && claim.Proof != adoption.Unproven && claim.Proof != "",
		}, err
	}
	verdict, seen, err := a.judge(ctx, claim)
	if err != nil {
		return nil, err
	}
	if verdict.Wait && !in.Last {
		return nil, errNotYet("%s", verdict.Reason)
	}
	if verdict.Proven {
		if verdict, err = a.mark(ctx, claim); err != nil {
			return nil, err
		}
	}
	if !verdict.Proven {
		if released, err := a.releaseToRival(ctx, in.InstanceID); err != nil || released {
			return &AdoptResult{Over: true}, err
		}
		return &AdoptResult{Cause: verdict.Cause, Reason: verdict.Reason, Repair: verdict.Repair},
			a.Store.RecordUnproven(ctx, claim.AgentID, in.InstanceID, verdict)
	}
	a.knowMarket(ctx, TypeInRegion{claim.Region, seen.InstanceType()})
	if err := a.Store.RecordAdopted(ctx, claim.AgentID, *seen); err != nil {
		return nil, err
	}
	a.Log.InfoContext(ctx, "adopted", "client_id", claim.ClientID, "agent_id", claim.AgentID,
		"instance_id", in.InstanceID)
	return &AdoptResult{Proven: true}, nil
}

// releaseToRival asks EC2 through the roles of the other clients that have registered an
// unproven instance, and gives it to the one whose it is: a name that came first keeps no
// owner out. A role that is refused or does not answer proves nothing.
func (a *Adoptions) releaseToRival(ctx context.Context, instanceID string) (bool, error) {
	rivals, err := a.Store.Rivals(ctx, instanceID)
	if err != nil {
		return false, err
	}
	for _, rival := range rivals {
		verdict, _, err := a.judge(ctx, &rival)
		if err != nil || !verdict.Proven {
			continue
		}
		a.Log.WarnContext(ctx, "an instance is taken from a client that named it without proof",
			"client_id", rival.ClientID, "instance_id", instanceID)
		return true, a.Store.ReleaseTo(ctx, instanceID, rival.ClientID)
	}
	return false, nil
}

// judge asks EC2, unless what is known suffices. A refusal is a verdict, because asking
// again changes nothing until a person has repaired it.
func (a *Adoptions) judge(ctx context.Context, claim *AdoptionClaim) (adoption.Verdict, *CloudInstance, error) {
	if v := claim.CanAsk(); v.Cause != "" {
		return v, nil, nil
	}
	if agent.KnownFact(claim.Region) == "" {
		return adoption.Failed(adoption.NotFound,
			"the agent did not say in which region "+claim.InstanceID+" is"), nil, nil
	}
	if !agent.IsRegion(claim.Region) {
		return adoption.Failed(adoption.NotFound,
			fmt.Sprintf("the agent says that %s is in the region %q, which AWS does not have", claim.InstanceID,
				claim.Region)), nil, nil
	}
	shared, err := a.isShared(ctx, claim)
	if err != nil {
		return adoption.Verdict{}, nil, err
	}
	seen, err := a.Fleet.State(ctx, claim.Account, claim.Region, claim.InstanceID)
	if v, final := refusal(adoption.RoleRefused, err); final {
		return v, nil, nil
	}
	if err != nil {
		return adoption.Verdict{}, nil, err
	}
	c := claim.Claim
	c.Shared = shared
	c.State, c.OwnerID, c.TaggedBy = seen.State, seen.AccountID, seen.Owner.ClientID
	return c.Judge(), seen, nil
}

// isShared says whether others than the client have instances in its account: another
// client, or the control plane itself when the client's role is of our own account.
func (a *Adoptions) isShared(ctx context.Context, claim *AdoptionClaim) (bool, error) {
	if claim.Shared || !claim.HasRole || claim.AccountID == "" || a.OwnAccount == nil {
		return claim.Shared, nil
	}
	own, err := a.OwnAccount(ctx)
	return own == claim.AccountID, err
}

// marketPatience is how long an adoption waits for prices, which the collection reads anyway.
const marketPatience = 5 * time.Second

// knowMarket reads what the pools of the instance's type cost before anything is decided
// about it.
func (a *Adoptions) knowMarket(ctx context.Context, t TypeInRegion) {
	if a.Market == nil || t.InstanceType == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, marketPatience)
	defer cancel()
	if err := a.Market.know(ctx, t); err != nil {
		a.Log.WarnContext(ctx, "the prices of an adopted instance's type could not be read", "region", t.Region,
			"instance_type", t.InstanceType, "code", fault.CodeOf(err), "error", err)
	}
}

// mark puts our tags on a proven instance.
func (a *Adoptions) mark(ctx context.Context, claim *AdoptionClaim) (adoption.Verdict, error) {
	err := a.Fleet.Adopt(ctx, claim.Account, claim.Region, claim.InstanceID, claim.AgentID)
	if v, final := refusal(adoption.TagRefused, err); final {
		return v, nil
	}
	return adoption.Verdict{Proven: err == nil}, err
}

// refusal is the verdict that follows from an error which no repetition changes.
func refusal(cause adoption.Cause, err error) (v adoption.Verdict, final bool) {
	switch {
	case err == nil:
		return v, false
	case fault.Is(err, adoption.NotOurs):
		return adoption.Failed(adoption.OtherClient, faultSentence(err)), true
	case fault.Is(err, replica.Refused), fault.Is(err, replica.Misconfigured), fault.Is(err, adoption.NoAccount):
		return adoption.Failed(cause, faultSentence(err)), true
	}
	return v, false
}

// faultSentence is the outermost fault's own words.
func faultSentence(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return strings.TrimSuffix(f.Message, ".")
	}
	return err.Error()
}
