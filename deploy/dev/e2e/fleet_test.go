package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
)

const (
	machine = "t3.medium"
	region  = "us-east-1"
)

var zones = []string{"us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d"}

// fleet is a stack with customers' machines in its cloud.
type fleet struct {
	*devtest.Stack
	sim *simclient.Client
	ec2 *ec2.Client
	who tenant

	answers *tally // of try, by status; nil: not counted
}

func newFleet(t *testing.T, s *devtest.Stack, who tenant) *fleet {
	t.Helper()
	httpc := &http.Client{Timeout: 15 * time.Second}
	t.Cleanup(httpc.CloseIdleConnections)
	return &fleet{Stack: s, who: who, sim: simclient.NewClient(s.EC2, httpc), ec2: s.EC2Of(who.Account, httpc)}
}

// machine launches an instance as a customer does.
func (f *fleet) machine(ctx context.Context, name, zone string) (string, error) {
	return f.launch(ctx, zone, map[string]string{"Name": name})
}

// marked launches an instance that names its client, as it must in a shared account.
func (f *fleet) marked(ctx context.Context, name, zone string) (string, error) {
	return f.launch(ctx, zone, map[string]string{"Name": name, "spotkeeper:client": f.who.ID})
}

func (f *fleet) launch(ctx context.Context, zone string, named map[string]string) (string, error) {
	return f.launchWith(ctx, zone, named, "")
}

// launchWith launches an instance with a profile, empty for none.
func (f *fleet) launchWith(ctx context.Context, zone string, named map[string]string, profile string) (string, error) {
	var of *types.IamInstanceProfileSpecification
	if profile != "" {
		of = &types.IamInstanceProfileSpecification{Name: aws.String(profile)}
	}
	var tags []types.Tag
	for k, v := range named {
		tags = append(tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	made, err := f.ec2.RunInstances(ctx, &ec2.RunInstancesInput{
		ImageId:               aws.String(simclient.PublicImage(region, "x86_64")),
		InstanceType:          machine,
		MinCount:              aws.Int32(1),
		MaxCount:              aws.Int32(1),
		IamInstanceProfile:    of,
		Placement:             &types.Placement{AvailabilityZone: aws.String(zone)},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot},
		TagSpecifications:     []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: tags}},
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(made.Instances[0].InstanceId), nil
}

// member is one logical agent, which uses the contract of the deployed agents.
type member struct {
	*fleet
	name, id string
}

// join launches a machine, registers the agent on it and waits until it is adopted.
func (f *fleet) join(ctx context.Context, name, zone string) (*member, error) {
	at, err := f.machine(ctx, name, zone)
	if err != nil {
		return nil, err
	}
	m := &member{fleet: f, name: name}
	if err := m.register(ctx, at, zone); err != nil {
		return m, err
	}
	if f.who.Account == "" { // the machine is one of a shared account, and is not marked
		return m, nil
	}
	_, err = m.await(ctx, "its machine is adopted", func(s *agentState) bool { return s.Primary.Proof != "unproven" })
	return m, err
}

// register is what the agent on an instance does first.
func (m *member) register(ctx context.Context, instance, zone string) error {
	var answer struct {
		AgentID string `json:"agent_id"`
	}
	body := registration(m.who.Token, m.name, instance)
	body["az"] = zone
	if err := m.insist(ctx, "POST", "/api/agents/register", body, &answer); err != nil {
		return err
	}
	m.id = answer.AgentID
	return m.insist(ctx, "POST", m.path("/heartbeat"), map[string]any{
		"status":              "online",
		"instance_id":         instance,
		"instance_type":       machine,
		"az":                  zone,
		"mode":                "spot",
		"monitored_instances": []string{instance},
	}, nil)
}

func (m *member) path(rest string) string { return "/api/agents/" + m.id + rest }

// reportPrices makes the pools known in which the agent could live.
func (m *member) reportPrices(ctx context.Context, at string) error {
	pools := make([]map[string]any, len(zones))
	for i, zone := range zones {
		pools[i] = map[string]any{
			"pool_id":       machine + "." + zone,
			"instance_type": machine,
			"az":            zone,
			"price":         0.0125 + float64(i)/1000,
		}
	}
	return m.insist(ctx, "POST", m.path("/pricing-report"), map[string]any{
		"instance": map[string]any{
			"instance_id":   at,
			"instance_type": machine,
			"region":        region,
			"az":            zones[0],
			"mode":          "spot",
			"pool_id":       machine + "." + zones[0],
		},
		"pricing": map[string]any{
			"on_demand_price":    0.0416,
			"current_spot_price": 0.0125,
			"cheapest_pool":      pools[0],
			"spot_pools":         pools,
			"collected_at":       time.Now().UTC().Format("2006-01-02T15:04:05.000000+00:00"),
		},
	}, nil)
}

// refusal is an answer that repeating does not change.
type refusal struct {
	Status int
	Code   string `json:"code"`
	Text   string `json:"error"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%d %s: %s", r.Status, r.Code, r.Text) }

func refused(err error) bool {
	_, is := errors.AsType[*refusal](err)
	return is
}

// again is how long a caller whose call failed waits for its own timer.
const again = 300 * time.Millisecond

// try calls once. An answer that is no success and does not pass by itself is a
// *refusal; anything else that went wrong is an ordinary error.
func (f *fleet) try(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // the deployed agents' own limit
	defer cancel()
	var text string
	status, err := f.Call(ctx, method, path, f.who.Token, in, &text)
	f.count(status, err)
	switch {
	case err != nil:
		return err
	case status >= 400:
		r := &refusal{Status: status}
		err := decode(text, r)
		// The answer that there is no successor is final too: an agent that launches for
		// itself gets it with the status that deployed agents expect.
		passes := status >= 500 && r.Code != "notice.no_replica" || status == http.StatusTooManyRequests
		if err != nil || passes {
			return fmt.Errorf("%s %s: %d %s", method, path, status, text)
		}
		return r
	case out == nil:
		return nil
	}
	return decode(text, out)
}

// count keeps what came of a call.
func (f *fleet) count(status int, err error) {
	switch {
	case f.answers == nil:
	case err != nil:
		f.answers.add("no answer")
	default:
		f.answers.add(strconv.Itoa(status))
	}
}

// insist calls until the answer is final.
func (f *fleet) insist(ctx context.Context, method, path string, in, out any) error {
	return until(ctx, again, func() (bool, error) {
		err := f.try(ctx, method, path, in, out)
		return err == nil || refused(err), err
	})
}

// until repeats fn on a timer until it is done. The error is its last one when
// time runs out before.
func until(ctx context.Context, pause time.Duration, fn func() (done bool, err error)) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		done, err := fn()
		if done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// standing is how an agent stands.
type agentState struct {
	Epoch   int64
	Keeping string
	Primary struct {
		ID, AZ string
		PoolID string `json:"pool_id"`
		Proof  string

		Unproven struct{ Cause, Reason, Repair string }
	}
	Replicas []struct {
		ID, Kind, State string
		InstanceID      string `json:"instance_id"`
	}
	Notices []struct {
		InstanceID string `json:"instance_id"`
		Kind       string
		Result     string
	}
	Switch *string
}

// ready is the agent's replica that could take over.
func (s *agentState) ready() (id string, ok bool) {
	for _, r := range s.Replicas {
		if r.State == "ready" {
			return r.ID, true
		}
	}
	return "", false
}

// state reads the agent's state. Meanwhile its instances run: an instance that a switch or
// a promotion waits for registers its agent.
func (m *member) state(ctx context.Context) (*agentState, error) {
	var s agentState
	if err := m.insist(ctx, "GET", "/api/client/agents/"+m.id+"/state", nil, &s); err != nil {
		return &s, err
	}
	m.boot(ctx, &s)
	return &s, nil
}

// await polls the agent's state until it is as wanted.
func (m *member) await(ctx context.Context, what string, wanted func(*agentState) bool) (*agentState, error) {
	var last *agentState
	err := until(ctx, 2*again, func() (bool, error) {
		s, err := m.state(ctx)
		if err != nil {
			return true, err
		}
		last = s
		return wanted(s), nil
	})
	if err != nil {
		return last, fmt.Errorf("agent %s: wait until %s: %w; it stands at %+v", m.name, what, err, last)
	}
	return last, nil
}

// boot registers the agent on the instances that a switch or a promotion waits for, as its
// image does.
func (m *member) boot(ctx context.Context, s *agentState) {
	for _, r := range s.Replicas {
		if (r.Kind == "switch" || r.Kind == "manual") && r.State == "ready" {
			body := registration(m.who.Token, m.name, r.InstanceID)
			_ = m.try(ctx, "POST", "/api/agents/register", body, nil) // the next look has it try again
		}
	}
}

// has says whether the replica is open.
func (s *agentState) has(replicaID string) bool {
	for _, r := range s.Replicas {
		if r.ID == replicaID {
			return true
		}
	}
	return false
}

func (m *member) awaitReady(ctx context.Context) (*agentState, string, error) {
	var id string
	s, err := m.await(ctx, "a replica is ready", func(s *agentState) (ok bool) {
		id, ok = s.ready()
		return ok
	})
	return s, id, err
}

func (m *member) awaitMove(ctx context.Context, from string) (*agentState, error) {
	return m.await(ctx, "it has left "+from, func(s *agentState) bool { return s.Primary.ID != from })
}

// configure sets modes.
func (m *member) configure(ctx context.Context, modes map[string]any) error {
	return m.insist(ctx, "POST", "/api/client/agents/"+m.id+"/config", modes, nil)
}

// emergency reports a signal as the current agent does first.
func (m *member) emergency(ctx context.Context, signal, instance string) error {
	return m.insist(ctx, "POST", m.path("/create-emergency-replica"), map[string]any{
		"signal_type": signal,
		"instance_id": instance,
	}, nil)
}

// notice has AWS announce the end of an instance, and reports it until the
// answer is final. It returns that answer.
func (m *member) notice(ctx context.Context, instance string, lead time.Duration) (action string, err error) {
	if _, err := m.sim.Signal(ctx, simclient.Interruption{
		InstanceID:    instance,
		Kind:          simclient.Notice,
		NoticeSeconds: lead.Seconds(),
	}); err != nil {
		return "", err
	}
	end := time.Now().Add(lead).UTC().Format(time.RFC3339)
	var answer struct{ Action string }
	err = m.insist(ctx, "POST", m.path("/termination-imminent"), map[string]any{
		"instance_id":      instance,
		"termination_time": end,
	}, &answer)
	return answer.Action, err
}

// forceSwitch moves the agent to another zone.
func (m *member) forceSwitch(ctx context.Context, from, away string) error {
	zone := zones[(slices.Index(zones, away)+1)%len(zones)]
	return m.insist(ctx, "POST", "/api/client/instances/"+from+"/force-switch", map[string]any{
		"target":  "pool",
		"pool_id": machine + "." + zone,
	}, nil)
}

func mustJoin(t *testing.T, f *fleet, name string) (*member, string) {
	t.Helper()
	m, err := f.join(t.Context(), name, zones[0])
	require.NoError(t, err)
	s, err := m.state(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, s.Primary.ID)
	return m, s.Primary.ID
}
