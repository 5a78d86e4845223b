package bench

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"spotkeeper/deploy/dev/devtest"
)

const instanceType = "t3.medium"

// fleet is a tenant with agents that live on simulated instances.
type fleet struct {
	*devtest.Stack
	db      *pgxpool.Pool
	client  string
	account string // AWS account that its instances live in
	token   string
	agents  []agent
}

type agent struct{ id, instance string }

// newFleet registers n agents on n instances. keep, when true, gives each a ready
// standby by manual mode.
func newFleet(b *testing.B, s *devtest.Stack, name string, n int, keep bool) *fleet {
	b.Helper()
	ctx := b.Context()
	db, err := pgxpool.New(ctx, s.DatabaseURL)
	require.NoError(b, err)
	b.Cleanup(db.Close)
	f := &fleet{Stack: s, db: db, agents: make([]agent, n)}
	who, err := s.NewTenant(ctx, name, nil)
	require.NoError(b, err)
	f.client, f.token, f.account = who.ID, who.Token, who.Account
	instances := launch(ctx, b, s, who.Account, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i, instance := range instances {
		g.Go(func() error {
			err := f.register(ctx, i, instance, "us-east-1a")
			if err != nil || !keep {
				return err
			}
			var status int
			for { // hundreds of standbys are launched beside it, so it may be refused for a while
				status, err = s.Call(ctx, http.MethodPost, "/api/client/agents/"+f.agents[i].id+"/config", f.token,
					map[string]any{"manualReplicaEnabled": true}, nil)
				busy := status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests
				if err != nil || !busy {
					break
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(200 * time.Millisecond):
				}
			}
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("configure: status %d: %w", status, err)
			}
			return nil
		})
	}
	require.NoError(b, g.Wait())
	if keep {
		f.await(b, 10*time.Minute, n, `SELECT count(*) FROM replicas WHERE client_id = $1 AND state = 'ready'`)
	}
	return f
}

// register sends the registration of the i-th agent.
func (f *fleet) register(ctx context.Context, i int, instance, zone string) error {
	id, err := f.announce(ctx, i, instance, zone)
	if err == nil {
		f.agents[i] = agent{id, instance}
	}
	return err
}

func (f *fleet) announce(ctx context.Context, i int, instance, zone string) (agentID string, err error) {
	var answer struct {
		AgentID string `json:"agent_id"`
	}
	status, err := f.Call(ctx, http.MethodPost, "/api/agents/register", f.token, map[string]any{
		"client_token":     f.token,
		"hostname":         "bench",
		"instance_id":      instance,
		"instance_type":    instanceType,
		"region":           "us-east-1",
		"az":               zone,
		"ami_id":           "ami-1",
		"agent_version":    "4.0.0",
		"logical_agent_id": fmt.Sprintf("bench-%d", i),
		"mode":             "spot",
	}, &answer)
	if err != nil || status != http.StatusOK {
		return "", fmt.Errorf("register: status %d: %w", status, err)
	}
	return answer.AgentID, nil
}

// launch makes the customers' own instances.
func launch(ctx context.Context, b *testing.B, s *devtest.Stack, account string, n int) []string {
	b.Helper()
	c := s.EC2Of(account, nil)
	images, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{Filters: []types.Filter{{
		Name:   aws.String("architecture"),
		Values: []string{"x86_64"},
	}}})
	require.NoError(b, err)
	require.NotEmpty(b, images.Images)
	var ids []string
	for len(ids) < n {
		count := aws.Int32(int32(min(100, n-len(ids)))) //nolint:gosec // at most 100
		out, err := c.RunInstances(ctx, &ec2.RunInstancesInput{
			ImageId:               images.Images[0].ImageId,
			InstanceType:          types.InstanceType(instanceType),
			MinCount:              count,
			MaxCount:              count,
			Placement:             &types.Placement{AvailabilityZone: aws.String("us-east-1a")},
			InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
		})
		require.NoError(b, err)
		for _, i := range out.Instances {
			ids = append(ids, aws.ToString(i.InstanceId))
		}
	}
	return ids
}

// await polls a count until it is n.
func (f *fleet) await(b *testing.B, within time.Duration, n int, query string) {
	b.Helper()
	require.Eventually(b, func() bool { return f.count(b, query) >= n }, within, 50*time.Millisecond, query)
}

func (f *fleet) count(b *testing.B, query string) int {
	b.Helper()
	var n int
	require.NoError(b, f.db.QueryRow(b.Context(), query, f.client).Scan(&n))
	return n
}

// notify reports an instance's end as its agent does.
func (f *fleet) notify(ctx context.Context, a agent) (action string, err error) {
	var answer struct {
		Action string `json:"action"`
	}
	status, err := f.Call(ctx, http.MethodPost, "/api/agents/"+a.id+"/termination-imminent", f.token,
		map[string]any{"instance_id": a.instance}, &answer)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	return answer.Action, err
}
