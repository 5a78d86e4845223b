package app

import (
	"context"
	"encoding/json"
	"time"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres/accounts"
)

// ec2Fleet shows the way to EC2 as activities want it: what a launch is made of
// is opaque to them, and so is stored and sent as the same bytes.
type ec2Fleet struct {
	*fleet.Provider
	seal *sealer
}

var _ activities.Fleet = ec2Fleet{}

// Template reads what a new instance copies. Fails with launch.instance_gone.
func (f ec2Fleet) Template(
	ctx context.Context,
	a activities.Account,
	region, instanceID string,
) (json.RawMessage, error) {
	t, err := f.Provider.Template(ctx, fleet.Account(a), region, instanceID)
	if err != nil {
		return nil, err
	}
	t.UserData = f.seal.seal(t.UserData)
	return json.Marshal(t)
}

// Freeze makes the whole request of an attempt. Fails with launch.no_addresses,
// and with launch.misconfigured for a template that cannot be read.
func (ec2Fleet) Freeze(
	template json.RawMessage,
	where replica.Candidate,
	owner activities.LaunchOwner,
) (*activities.FrozenLaunch, error) {
	var t fleet.Template
	if err := json.Unmarshal(template, &t); err != nil {
		return nil, replica.Misconfigured.Wrap(err, "the stored template cannot be read")
	}
	request, err := fleet.NewLaunchRequest(t, where, fleet.Owner(owner))
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	return &activities.FrozenLaunch{Token: request.ClientToken, Request: raw}, nil
}

// Revise makes the next request for the same candidate.
func (ec2Fleet) Revise(refused activities.FrozenLaunch, cause error) (*activities.FrozenLaunch, bool) {
	var r fleet.LaunchRequest
	if err := json.Unmarshal(refused.Request, &r); err != nil {
		return nil, false
	}
	next, ok := r.Revise(cause)
	if !ok {
		return nil, false
	}
	raw, err := json.Marshal(next)
	if err != nil {
		return nil, false
	}
	return &activities.FrozenLaunch{Token: next.ClientToken, Request: raw, Attempt: refused.Attempt + 1}, true
}

// Launch sends a frozen request.
func (f ec2Fleet) Launch(
	ctx context.Context,
	a activities.Account,
	request json.RawMessage,
) (*activities.CloudInstance, error) {
	var r fleet.LaunchRequest
	if err := json.Unmarshal(request, &r); err != nil {
		return nil, replica.Misconfigured.Wrap(err, "the stored request cannot be read")
	}
	var err error
	if r.UserData, err = f.seal.open(r.UserData); err != nil {
		return nil, err
	}
	made, err := f.Provider.Launch(ctx, fleet.Account(a), r)
	if err != nil {
		return nil, err
	}
	out := cloudInstance(made)
	out.Lacks = r.Differences(made)
	return &out, nil
}

// State says what EC2 shows of an instance, absent included.
func (f ec2Fleet) State(
	ctx context.Context,
	a activities.Account,
	region, instanceID string,
) (*activities.CloudInstance, error) {
	i, err := f.ConsoleState(ctx, fleet.Account(a), region, instanceID)
	if err != nil {
		return nil, err
	}
	out := cloudInstance(i)
	return &out, nil
}

// States says what EC2 shows of the instances, by id, without their status checks.
func (f ec2Fleet) States(
	ctx context.Context,
	a activities.Account,
	region string,
	ids []string,
) (map[string]activities.CloudInstance, error) {
	found, err := f.Describe(ctx, fleet.Account(a), region, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[string]activities.CloudInstance, len(found))
	for id, i := range found {
		out[id] = cloudInstance(i)
	}
	return out, nil
}

// Terminate ends an instance; one that has ended is success.
func (f ec2Fleet) Terminate(
	ctx context.Context,
	a activities.Account,
	region, instanceID string,
	launchedAt time.Time,
) error {
	return f.Provider.Terminate(ctx, fleet.Account(a), region, instanceID, launchedAt)
}

// Preflight checks in calm whether a replacement of the template can be launched.
func (f ec2Fleet) Preflight(
	ctx context.Context,
	a activities.Account,
	region, zone string,
	template json.RawMessage,
) ([]preflight.Check, error) {
	var t fleet.Template
	if err := json.Unmarshal(template, &t); err != nil {
		return nil, replica.Misconfigured.Wrap(err, "the stored template cannot be read")
	}
	var err error
	if t.UserData, err = f.seal.open(t.UserData); err != nil {
		return nil, err
	}
	return f.Provider.Preflight(ctx, fleet.Account(a), region, zone, t), nil
}

// Quotas lists the limits of an account for EC2.
func (f ec2Fleet) Quotas(ctx context.Context, a activities.Account, region string) ([]preflight.Quota, error) {
	return f.Provider.Quotas(ctx, fleet.Account(a), region)
}

// PlacementScores returns EC2's placement score of each zone for the types.
func (f ec2Fleet) PlacementScores(
	ctx context.Context, a activities.Account, region string, instanceTypes []string,
) (map[string]int, error) {
	return f.Provider.PlacementScores(ctx, fleet.Account(a), region, instanceTypes)
}

// CancelRequest cancels the persistent spot request of an instance that ends.
func (f ec2Fleet) CancelRequest(ctx context.Context, a activities.Account, region, instanceID string) error {
	return f.Provider.CancelRequest(ctx, fleet.Account(a), region, instanceID)
}

// Adopt puts our tags on an instance that runs.
func (f ec2Fleet) Adopt(ctx context.Context, a activities.Account, region, instanceID, agentID string) error {
	return f.Provider.Adopt(ctx, fleet.Account(a), region, instanceID, agentID)
}

// Ours lists the living instances in the account that carry our tag for the client.
func (f ec2Fleet) Ours(
	ctx context.Context,
	a activities.Account,
	region, clientID string,
) ([]activities.CloudInstance, error) {
	found, err := f.ListOurs(ctx, fleet.Account(a), region, clientID)
	if err != nil {
		return nil, err
	}
	out := make([]activities.CloudInstance, 0, len(found))
	for _, i := range found {
		out = append(out, cloudInstance(i))
	}
	return out, nil
}

// Launched finds what the launches with these tokens made, by token.
func (f ec2Fleet) Launched(
	ctx context.Context,
	a activities.Account,
	region string,
	tokens []string,
) (map[string]string, error) {
	return f.FindLaunched(ctx, fleet.Account(a), region, tokens)
}

func cloudInstance(i fleet.Instance) activities.CloudInstance {
	owner, marked := fleet.OwnerFromTags(i)
	out := activities.CloudInstance{
		ID: i.ID, State: i.State, Reason: i.StateReason, ChecksOK: i.ChecksOK, Mode: i.Mode, Region: i.Region,
		LaunchedAt: i.LaunchedAt, AccountID: i.OwnerID, Token: i.ClientToken, ImageID: i.ImageID,
		Owner: activities.LaunchOwner(owner), Marked: marked,
	}
	if i.AZ != "" {
		out.PoolID = i.PoolID()
	}
	return out
}

// Missing names those of the instances that EC2 does not show as living, asked through an
// account that a client is to have.
func (f ec2Fleet) Missing(
	ctx context.Context,
	clientID, externalID string,
	in clients.Account,
	region string,
	ids []string,
) ([]string, error) {
	found, err := f.Describe(ctx, fleet.Account{
		ClientID:   clientID,
		RoleARN:    in.RoleARN,
		ExternalID: externalID,
		Own:        in.Own,
	}, region, ids)
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, id := range ids {
		if i, shown := found[id]; !shown || in.ID != "" && i.OwnerID != in.ID {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// recordRoleTimeout bounds the note about a role: the call that found it out waits for it.
const recordRoleTimeout = 2 * time.Second

// watchRole notifies a client that STS refuses its role, and when it is assumed again.
func (a *App) watchRole(ctx context.Context, of fleet.Account, refusal error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordRoleTimeout)
	defer cancel()
	store := &accounts.RoleHealth{DB: a.DB}
	var err error
	if refusal == nil {
		err = store.Assumed(ctx, of.ClientID)
	} else {
		a.Log.WarnContext(ctx, "a client's role is refused", "client_id", of.ClientID, "error", refusal)
		err = store.Refused(ctx, of.ClientID, fleet.RoleRefusal(of))
	}
	if err != nil {
		a.Log.WarnContext(ctx, "a client could not be told of its role", "client_id", of.ClientID, "error", err)
	}
}
