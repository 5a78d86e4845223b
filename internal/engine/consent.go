package engine

import (
	"errors"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
)

// takeApproved prefers the move that a person has approved to the one that the engine would
// make now, when the engine has nothing against it: prices change while people think.
func (in Input) takeApproved(d Decision) Decision {
	a, open := in.Holds.Consent.Open(in.Now, approval.KindFor(d.Mode), in.Instance.ID)
	if !open || a.State != approval.Approved || a.Mode == d.Mode && a.PoolID == d.PoolID {
		return d
	}
	for _, s := range d.Scores {
		if s.Mode != a.Mode || s.PoolID != a.PoolID || s.Current || len(s.Vetoes) > 0 || s.Gain <= 0 {
			continue
		}
		present := s.Price
		for _, here := range d.Scores {
			if here.Current {
				present = here.Price
			}
		}
		d.Action, d.Mode, d.PoolID = SwitchToOnDemand, a.Mode, a.PoolID
		if a.Mode == agent.Spot {
			d.Action = SwitchToSpot
		}
		d.Gain, d.Savings = present-s.Price, in.savingsAt(a.Mode, a.PoolID)
		d.Reason = "It was approved by " + a.AnsweredBy + ", and is still better than staying."
		return d
	}
	return d
}

// judgeConsent lists what the client's rules have against the move of a decision. A move that a
// person is to be asked about goes on: the question is asked when it is ordered.
func (in Input) judgeConsent(d Decision) []Veto {
	v := in.Holds.Consent.Judge(in.Now, approval.Move{
		Kind: approval.KindFor(d.Mode), InstanceID: in.Instance.ID, Mode: d.Mode, PoolID: d.PoolID,
	})
	f, refused := errors.AsType[*fault.Error](v.Refusal)
	if !refused {
		return nil
	}
	return []Veto{{fault.CodeOf(f), f.Message}}
}
