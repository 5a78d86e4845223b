package control

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/postgres/views"
)

type agentStateAnswer struct {
	AgentID   string           `json:"agent_id"`
	ClientID  string           `json:"client_id"`
	Status    string           `json:"status"`
	Epoch     int64            `json:"epoch"`
	Keeping   string           `json:"keeping"`
	Launcher  string           `json:"launcher"`
	Primary   *instanceAnswer  `json:"primary"` // null when the agent has sent nothing since it was deleted
	Replicas  []stateReplica   `json:"replicas"`
	Notices   []stateNotice    `json:"notices"`
	Switch    *string          `json:"switch"`
	Guardian  *guardianAnswer  `json:"guardian"` // null: at rest, or Temporal is away
	Operation []operationBrief `json:"operations"`
}

type instanceAnswer struct {
	ID           string `json:"id"`
	InstanceType string `json:"instance_type"`
	Region       string `json:"region"`
	AZ           string `json:"az"`
	PoolID       string `json:"pool_id"`
	Mode         string `json:"mode"`

	Proof    string        `json:"proof" doc:"launched, adopted or unproven"`
	Unproven *web.Unproven `json:"unproven" doc:"null when it is proven"`
}

type stateReplica struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	For        string `json:"for"`
	State      string `json:"state"`
	Status     string `json:"status"`
	InstanceID string `json:"instance_id"`
	PoolID     string `json:"pool_id"`

	Proof    string        `json:"proof" doc:"launched, adopted or unproven; empty without an instance"`
	Unproven *web.Unproven `json:"unproven" doc:"null when it is proven"`
}

type stateNotice struct {
	InstanceID string    `json:"instance_id"`
	Kind       string    `json:"kind"`
	Deadline   *web.Time `json:"deadline"`
	Result     string    `json:"result"`
	NewPrimary string    `json:"new_primary"`
}

type guardianAnswer struct {
	Phase    string `json:"phase"`
	InFlight int    `json:"in_flight"`
}

type operationBrief struct {
	ID    string `json:"id"`
	Href  string `json:"href"`
	Kind  string `json:"kind"`
	Phase string `json:"phase"`
}

// state reads the roles as a Guardian would judge them, and adds what the
// Guardian itself says when one is awake. That one is at rest, or that Temporal
// is away, is no error: the roles are in Postgres.
func (o *Operations) state(ctx context.Context, in *web.AgentPath) (*agentStateAnswer, error) {
	a, err := o.Views.Agent(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	set, err := o.Roles.Roles(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	running, err := o.Views.Operations(ctx, runningOf(a.ClientID, a.ID))
	if err != nil {
		return nil, err
	}
	proofs, err := o.Views.Proofs(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	out := &agentStateAnswer{
		AgentID:   a.ID,
		ClientID:  a.ClientID,
		Status:    string(a.Status),
		Epoch:     set.Epoch,
		Keeping:   string(set.Keeping),
		Launcher:  string(set.Launcher),
		Primary:   primaryOf(set, proofs),
		Replicas:  []stateReplica{},
		Notices:   []stateNotice{},
		Operation: []operationBrief{},
	}
	if set.OpenSwitch != "" {
		out.Switch = &set.OpenSwitch
	}
	for _, x := range set.Replicas {
		proof, unproven := web.ProofOf(proofs, x.InstanceID)
		out.Replicas = append(out.Replicas, stateReplica{
			ID:         x.ID,
			Kind:       string(x.Kind),
			For:        x.For,
			State:      string(x.State),
			Status:     x.State.LegacyWord(),
			InstanceID: x.InstanceID,
			PoolID:     x.PoolID,
			Proof:      proof,
			Unproven:   unproven,
		})
	}
	for _, x := range set.Outcomes {
		out.Notices = append(out.Notices, stateNotice{
			InstanceID: x.InstanceID,
			Kind:       string(x.Kind),
			Deadline:   web.NewTime(&x.Deadline),
			Result:     string(x.Result),
			NewPrimary: x.NewPrimary,
		})
	}
	for _, x := range running {
		out.Operation = append(out.Operation, operationBrief{
			ID:    x.ID,
			Href:  web.OperationHref(x.ID),
			Kind:  x.Kind,
			Phase: x.Phase,
		})
	}
	switch live, err := o.Workflows.GuardianState(ctx, a.ID); {
	case err == nil:
		out.Guardian = &guardianAnswer{Phase: live.Phase, InFlight: live.InFlight}
	case !isGuardianAbsent(err):
		return nil, err
	}
	return out, nil
}

func primaryOf(set *roles.AgentRoles, proofs []views.ProofView) *instanceAnswer {
	if set.Primary.ID == "" {
		return nil
	}
	p := set.Primary
	proof, unproven := web.ProofOf(proofs, p.ID)
	return &instanceAnswer{
		ID:           p.ID,
		InstanceType: p.InstanceType,
		Region:       p.Region,
		AZ:           p.AZ,
		PoolID:       p.PoolID,
		Mode:         string(p.Mode),
		Proof:        proof,
		Unproven:     unproven,
	}
}
