package agents

import (
	"context"
	"fmt"
	"strings"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// explainTypes says which instance types may replace an agent's.
type explainTypes struct {
	Present      string               `json:"instance_type"`
	Requirements replica.Requirements `json:"requirements" doc:"with what follows from the present type"`
	Considered   []string             `json:"considered"`
	Others       []typeNotConsidered  `json:"others"`
}

type typeNotConsidered struct {
	InstanceType string `json:"instance_type"`
	Why          string `json:"why"`
}

// shownTypes is how many types a sentence names.
const shownTypes = 12

// explainTypes reads the types, and says them in sentences. An agent without a primary has
// none.
func (d *Decisions) explainTypes(ctx context.Context, clientID, agentID string) (explainTypes, []string, error) {
	out := explainTypes{Considered: []string{}, Others: []typeNotConsidered{}}
	of, err := d.Types.Load(ctx, clientID, agentID)
	if fault.Is(err, agent.NotFound) {
		return out, nil, nil
	}
	if err != nil {
		return out, nil, err
	}
	out.Present = of.Present
	need, known := of.Resolve()
	out.Requirements = need
	if !known {
		return out, []string{"EC2 was not asked yet which instance types its region has, so only " + of.Present +
			" and its family are considered."}, nil
	}
	for _, v := range need.JudgeTypes(of.Types) {
		if v.Fits() {
			out.Considered = append(out.Considered, v.Name)
		} else {
			out.Others = append(out.Others, typeNotConsidered{InstanceType: v.Name, Why: v.Why})
		}
	}
	return out, out.sentences(), nil
}

func (t explainTypes) sentences() []string {
	names, rest := t.Considered, ""
	if len(names) > shownTypes {
		names, rest = names[:shownTypes], fmt.Sprintf(" and %d more", len(names)-shownTypes)
	}
	if len(names) == 0 {
		return []string{"No instance type meets the requirements: replacements are of the present type only."}
	}
	return []string{fmt.Sprintf("A replacement may be of %s%s; %d other types are not considered.",
		strings.Join(names, ", "), rest, len(t.Others))}
}
