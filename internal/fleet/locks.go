package fleet

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/domain/replica"
)

// What changes something at EC2 has three locks in front of it. The first is the row of
// the instance in the database, which the caller has read. The second is here: EC2
// itself, asked through the client's role immediately before. The third is IAM: the
// conditions of deploy/cloudformation.

// requireOurs asks EC2 for an instance and requires that it carries our tag and the
// client's. One that EC2 does not show is returned as StateAbsent, and no error. Fails
// with instance.not_ours.
func (p *Provider) requireOurs(ctx context.Context, a Account, region, instanceID string) (Instance, error) {
	if a.ClientID == "" {
		return Instance{}, adoption.NotOurs.New("nothing is changed at EC2 without a client, so not instance %s",
			instanceID)
	}
	found, err := p.Describe(ctx, a, region, []string{instanceID})
	if err != nil {
		return Instance{}, err
	}
	i, shown := found[instanceID]
	if !shown {
		return Instance{ID: instanceID, Region: region, State: StateAbsent}, nil
	}
	return i, checkOurs(a, i)
}

// RequireOurs asks EC2 for an instance that is to become a primary, and requires our tags
// on it as Terminate does. One that EC2 does not show is judged by its state elsewhere.
// Fails with instance.not_ours.
func (p *Provider) RequireOurs(ctx context.Context, a Account, region, instanceID string) error {
	_, err := p.requireOurs(ctx, a, region, instanceID)
	return err
}

// checkOurs requires our tag and the client's on an instance as EC2 has just shown it.
func checkOurs(a Account, i Instance) error {
	if i.Tags[TagManagedBy] == ManagedBy && i.Tags[TagClient] == a.ClientID && a.ClientID != "" {
		return nil
	}
	return adoption.NotOurs.New("EC2 does not show the tags %s=%s and %s=%s on instance %s, so it is left alone",
		TagManagedBy, ManagedBy, TagClient, a.ClientID, i.ID)
}

// Terminate ends an instance that EC2 shows with our tags and the client's; one that ends
// or has ended already is success. launchedAt distinguishes an instance that EC2 does not
// show yet from one that it has forgotten: the former fails with launch.not_running, to
// be tried again. Fails with instance.not_ours, and with launch.refused when the instance
// is protected or the role may not end it.
func (p *Provider) Terminate(ctx context.Context, a Account, region, instanceID string, launchedAt time.Time) error {
	c, err := p.client(a, region)
	if err != nil {
		return err
	}
	seen, err := p.requireOurs(ctx, a, region, instanceID)
	switch {
	case err != nil:
		return err
	case seen.State == StateAbsent && p.opts.Now().Sub(launchedAt) > visibility:
		return nil
	case seen.Ended():
		return p.cancelRequest(ctx, c, seen)
	case seen.State == StateAbsent:
		return replica.NotRunning.New("terminating %s: EC2 does not show it yet", instanceID)
	}
	if err := p.cancelRequest(ctx, c, seen); err != nil {
		return err
	}
	call, cancel := p.write(ctx)
	defer cancel()
	_, err = c.TerminateInstances(call, &ec2.TerminateInstancesInput{InstanceIds: []string{instanceID}}, disableRetries)
	return classify(call, err, "terminating "+instanceID) // not found is not gone: the next attempt looks again
}

// Adopt puts our tags on an instance that runs and was found to be the client's. Tags set
// a level, so a second run changes nothing. EC2 is asked immediately before: an instance that does not
// run, or that carries another client's tag, is not touched. Fails with
// instance.not_ours and launch.not_running.
func (p *Provider) Adopt(ctx context.Context, a Account, region, instanceID, agentID string) error {
	c, err := p.client(a, region)
	if err != nil {
		return err
	}
	if a.ClientID == "" {
		return adoption.NotOurs.New("nothing is changed at EC2 without a client, so not instance %s", instanceID)
	}
	found, err := p.Describe(ctx, a, region, []string{instanceID})
	if err != nil {
		return err
	}
	seen := found[instanceID]
	switch other := seen.Tags[TagClient]; {
	case seen.State != StateRunning:
		return replica.NotRunning.New("tagging %s: EC2 does not show it as running", instanceID)
	case other != "" && other != a.ClientID:
		return adoption.NotOurs.New("the tags of instance %s name another client, so it is left alone", instanceID)
	case checkOurs(a, seen) == nil && seen.Tags[TagAgent] == agentID:
		return nil
	}
	ctx, cancel := p.write(ctx)
	defer cancel()
	_, err = c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{instanceID}, Tags: toSDKTags(map[string]string{
		TagManagedBy: ManagedBy, TagClient: a.ClientID, TagAgent: agentID,
	})})
	return classify(ctx, err, "tagging "+instanceID)
}

// checkLaunch requires that a request names the client it is launched for: what is
// launched without our tags could never be ended by us. Fails with instance.not_ours.
func checkLaunch(a Account, r LaunchRequest) error {
	if a.ClientID == "" || r.Tags[TagManagedBy] != ManagedBy || r.Tags[TagClient] != a.ClientID {
		return adoption.NotOurs.New("a launch for client %q carries the tags of %q, and is not made", a.ClientID,
			r.Tags[TagClient])
	}
	return nil
}
