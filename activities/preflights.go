package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/domain/replica"
)

// PreflightStore stores reports of preflight checks, which run while nothing fails.
type PreflightStore interface {
	// PreflightPlace says where an agent's primary is and what it was launched with. An
	// empty clientID is any tenant. Fails with agent.not_found.
	PreflightPlace(ctx context.Context, clientID, agentID string) (*PreflightPlace, error)
	// KeepPreflight stores the report, and notifies the client when it gets worse or is mended.
	KeepPreflight(ctx context.Context, r preflight.Report) error
}

// PreflightPlace is the input of an agent's checks: its primary, the zone and the template.
type PreflightPlace struct {
	Primary
	Zone      string
	Unproven  bool            // EC2 has not confirmed whose the primary is, so it is not asked about it
	ByAgent   bool            // the agent launches its replacements itself
	Template  json.RawMessage // nil: not known yet
	Scoreless bool            // within the last hour EC2 refused placement scores to the role
}

// Preflights check in calm whether an agent can be replaced.
type Preflights struct {
	Store PreflightStore
	Fleet interface {
		Preflight(ctx context.Context, a Account, region, zone string, template json.RawMessage) ([]preflight.Check, error)
		State(ctx context.Context, a Account, region, instanceID string) (*CloudInstance, error)
	}
	// Templates reads what a primary was launched with when that was not noted yet.
	Templates *Templates
}

// Run checks one agent now and keeps the report. It changes nothing at EC2, and the last
// report holds, so it may run any number of times. Fails with agent.not_found.
func (p *Preflights) Run(ctx context.Context, clientID, agentID string) (*preflight.Report, error) {
	place, err := p.Store.PreflightPlace(ctx, clientID, agentID)
	if err != nil {
		return nil, err
	}
	report := &preflight.Report{AgentID: agentID, CheckedAt: time.Now().UTC()}
	lacking := p.ensureTemplate(ctx, place)
	if lacking != nil {
		report.Checks = []preflight.Check{*lacking}
	} else if report.Checks, err = p.Fleet.Preflight(ctx, place.Account, place.Region, place.Zone,
		place.Template); err != nil {
		report.Checks = []preflight.Check{{
			Name:   "description",
			Result: preflight.Failed,
			Detail: replica.Misconfigured.Wrap(err, "the description cannot be read").Message,
		}}
	}
	if !place.Unproven && !place.ByAgent {
		report.Checks = append(report.Checks, p.askForState(ctx, place))
	}
	if place.Scoreless {
		report.Checks = append(report.Checks, preflight.Check{Name: "placement scores", Result: preflight.Warning,
			Detail: "the role may not read EC2's spot placement scores, so pools are chosen without them",
			Repair: "allow ec2:GetSpotPlacementScores, which the template of the tenant's role does"})
	}
	report.Result = preflight.WorstResult(report.Checks)
	return report, p.Store.KeepPreflight(ctx, *report)
}

// askForState asks EC2 the question by which a failover sees that its new instance is up.
func (p *Preflights) askForState(ctx context.Context, place *PreflightPlace) preflight.Check {
	check := preflight.Check{Name: "state of instances", Result: preflight.OK}
	_, err := p.Fleet.State(ctx, place.Account, place.Region, place.InstanceID)
	if err == nil {
		return check
	}
	check.Result = preflight.Unknown
	if f, ok := errors.AsType[*fault.Error](err); ok {
		check.Detail, _ = f.Details[replica.DetailWhy].(string)
	}
	if fault.Is(err, replica.Refused) || fault.Is(err, replica.Misconfigured) {
		check.Result = preflight.Failed
		check.Repair = "allow ec2:DescribeInstances and ec2:DescribeInstanceStatus: without them a successor takes over " +
			"only just before the deadline, and no standby and no voluntary move is ever ready"
	}
	return check
}

// ensureTemplate reads what the primary was launched with when that was not noted yet, as on
// an instance that registered a moment ago. The check that it returns says why there is none.
func (p *Preflights) ensureTemplate(ctx context.Context, place *PreflightPlace) *preflight.Check {
	lacking := &preflight.Check{Name: "description", Result: preflight.Failed}
	switch {
	case place.Template != nil:
		return nil
	case place.ByAgent:
		lacking.Result = preflight.Unknown
		lacking.Detail = "the agent launches its replacements itself, so EC2 is not asked about them"
		return lacking
	case place.Unproven:
		lacking.Detail = "EC2 has not confirmed whose the instance is, so it cannot be replaced"
		lacking.Repair = "see unproven in the state of the agent, which has the reason and its repair"
		return lacking
	}
	var err error
	if place.Template, err = p.Templates.note(ctx, place.Primary); err == nil {
		return nil
	}
	lacking.Detail = "what the instance was launched with cannot be read, so it cannot be replaced"
	if f, ok := errors.AsType[*fault.Error](err); ok {
		lacking.Detail += ": " + f.Message
	}
	lacking.Repair = "check that EC2 shows the instance to the role: ec2:DescribeInstances and ec2:DescribeInstanceAttribute, in the agent's region"
	return lacking
}
