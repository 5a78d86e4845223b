package fleet

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/flight"
)

// statusBatch is how many ids DescribeInstanceStatus takes.
const statusBatch = 100

// looks lets concurrent callers about instances of one account and region share one call to
// EC2: a hundred instances that start together are polled by two calls.
type looks = flight.Batch[string, Instance]

// ConsoleState returns what the EC2 console would show of one instance, status
// checks included. An instance that EC2 does not know is StateAbsent, and no
// error.
func (p *Provider) ConsoleState(ctx context.Context, a Account, region, instanceID string) (Instance, error) {
	return p.looksAt(a, region).Do(ctx, instanceID, func(ctx context.Context, ids []string) ([]Instance, error) {
		return p.consoleStates(ctx, a, region, ids)
	})
}

func (p *Provider) looksAt(a Account, region string) *looks {
	if a.RoleARN == "" {
		a.ClientID = "" // our own account is one, for all its clients
	}
	key := keyOf(a, region)
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, known := p.looking[key]; known {
		return l
	}
	if len(p.looking) >= maxClients {
		clear(p.looking)
	}
	l := &looks{}
	p.looking[key] = l
	return l
}

// consoleStates returns the states in the order of the ids.
func (p *Provider) consoleStates(ctx context.Context, a Account, region string, ids []string) ([]Instance, error) {
	found := make(map[string]Instance, len(ids))
	for some := range slices.Chunk(ids, batch) {
		err := p.list(ctx, a, region,
			[]types.Filter{newFilter("instance-id", some...)}, func(i Instance) { found[i.ID] = i }, disableRetries)
		if err != nil {
			return nil, err
		}
	}
	var running []string
	for id, i := range found {
		if i.State == StateRunning {
			running = append(running, id)
		}
	}
	slices.Sort(running)
	healthy := map[string]bool{}
	for some := range slices.Chunk(running, statusBatch) {
		if err := p.readChecks(ctx, a, region, some, healthy); err != nil {
			return nil, err
		}
	}
	out := make([]Instance, len(ids))
	for n, id := range ids {
		i, known := found[id]
		if !known {
			i = Instance{ID: id, Region: region, State: StateAbsent}
		}
		i.ChecksOK = healthy[id]
		out[n] = i
	}
	return out, nil
}

// readChecks notes which of the instances pass both status checks. Those of an instance that
// EC2 does not know here yet are unknown, so not passed. A list with such an id is refused as
// a whole, so its halves are asked for.
func (p *Provider) readChecks(ctx context.Context, a Account, region string, ids []string, into map[string]bool) error {
	out, err := p.askChecks(ctx, a, region, ids)
	switch {
	case hasErrorCode(err, "InvalidInstanceID.NotFound") && len(ids) == 1:
		return nil
	case hasErrorCode(err, "InvalidInstanceID.NotFound"):
		half := len(ids) / 2
		if err := p.readChecks(ctx, a, region, ids[:half], into); err != nil {
			return err
		}
		return p.readChecks(ctx, a, region, ids[half:], into)
	case err != nil:
		return err
	}
	for _, s := range out.InstanceStatuses {
		into[aws.ToString(s.InstanceId)] = s.InstanceStatus != nil && s.InstanceStatus.Status == types.SummaryStatusOk &&
			s.SystemStatus != nil && s.SystemStatus.Status == types.SummaryStatusOk
	}
	return nil
}

func (p *Provider) askChecks(
	ctx context.Context, a Account, region string, ids []string,
) (*ec2.DescribeInstanceStatusOutput, error) {
	c, err := p.client(a, region)
	if err != nil {
		return nil, err
	}
	ctx, cancel := p.read(ctx)
	defer cancel()
	out, err := c.DescribeInstanceStatus(ctx, &ec2.DescribeInstanceStatusInput{InstanceIds: ids}, disableRetries)
	return out, classify(ctx, err, "reading the status checks")
}
