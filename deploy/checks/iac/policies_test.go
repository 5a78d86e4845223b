package iac_test

import (
	"context"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/checks/iac"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/testkit/iam"
)

const (
	tenantAccount = "111111111111"
	client        = "c1"
	externalID    = "external-1"
)

// stacks are the templates as moto created them, with the policies that came out.
type stacks struct{ control, tenant role }

func createStacks(t *testing.T, tenant map[string]string) stacks {
	t.Helper()
	a := newAmazon(t)
	// Moto splits lists that are given, and not those that are defaults.
	control := a.create("control", "control-role.yaml",
		map[string]string{"OwnAccount": "yes", "ServiceAccounts": "spotkeeper-api,spotkeeper-worker"})
	a.create("events", "control-events.yaml", map[string]string{"ControlPlaneRole": control["RoleName"]})
	parameters := map[string]string{"ControlPlaneAccount": account, "ExternalId": externalID, "ClientId": client,
		"ControlPlanePrincipal": "role/" + control["RoleName"]}
	maps.Copy(parameters, tenant)
	a.create("tenant", "tenant-role.json", parameters)
	s := stacks{a.role(control["RoleName"]), a.role("spotkeeper-tenant")}
	// Moto has one account, and the tenant's is another one.
	s.tenant.ARN = strings.ReplaceAll(s.tenant.ARN, account, tenantAccount)
	s.tenant.Policies = moveToTenant(s.tenant.Policies)
	return s
}

// moveToTenant copies policies as if their stack were in the tenant's account, which the
// requests of these tests are about.
func moveToTenant(policies []iam.Policy) []iam.Policy {
	out := slices.Clone(policies)
	for n := range out {
		out[n].Statement = slices.Clone(out[n].Statement)
		for m, s := range out[n].Statement {
			for _, resource := range s.Resource {
				if strings.HasPrefix(resource, "arn:aws:ec2:") || strings.HasPrefix(resource, "arn:aws:iam:") {
					resource = strings.ReplaceAll(resource, account, tenantAccount)
				}
				out[n].Statement[m].Resource = append(slices.Clone(out[n].Statement[m].Resource), resource)
			}
		}
	}
	return out
}

// world is a simulated cloud behind IAM, and the provider that calls it.
type world struct {
	*fleet.Provider
	gate *gate
	sim  *simclient.Client
	url  string
}

func (s stacks) world(t *testing.T) world {
	t.Helper()
	sim := ec2sim.New(ec2sim.Options{})
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	back := httptest.NewServer(sim)
	t.Cleanup(back.Close)
	control := simclient.NewClient(back.URL, back.Client())
	g := &gate{next: sim, base: s.control.Policies, baseARN: s.control.ARN, tenant: s.tenant,
		sessions: map[string]iam.Policy{}, asked: map[string]map[iam.Decision]int{}}
	g.tags = func(id string) map[string]string {
		state, err := control.State(context.WithoutCancel(t.Context()))
		require.NoError(t, err)
		for _, i := range state.Instances {
			if i.InstanceID == id {
				return i.Tags
			}
		}
		return nil
	}
	front := httptest.NewServer(g)
	t.Cleanup(front.Close)
	p, err := fleet.New(t.Context(), fleet.Options{Region: region, Endpoint: front.URL, STSEndpoint: front.URL,
		PricingEndpoint: front.URL, Credentials: fleet.StaticCredentials(simclient.AccessKey(account), "secret")})
	require.NoError(t, err)
	require.NoError(t, control.AddRole(t.Context(), simclient.Role{ARN: s.tenant.ARN, ExternalID: externalID}))
	return world{p, g, control, front.URL}
}

// primary launches what the agent lived on before, on a persistent request and with a role,
// by the owner of the account and not by us.
func (w world) primary(t *testing.T, in string, tags map[string]string) string {
	t.Helper()
	var list []types.Tag
	for k, v := range tags {
		list = append(list, types.Tag{Key: &k, Value: &v})
	}
	made, err := w.owner(in).RunInstances(t.Context(), &ec2.RunInstancesInput{
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: types.InstanceTypeM5Large,
		ImageId:            aws.String(simclient.PublicImage(region, "x86_64")),
		Placement:          &types.Placement{AvailabilityZone: aws.String(region + "a")},
		IamInstanceProfile: &types.IamInstanceProfileSpecification{Arn: aws.String(slices.Collect(maps.Keys(profileRoles))[0])},
		InstanceMarketOptions: &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{SpotInstanceType: types.SpotInstanceTypePersistent,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop}},
		TagSpecifications: []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: list}},
	})
	require.NoError(t, err)
	return aws.ToString(made.Instances[0].InstanceId)
}

// owner is the account's own way to EC2, which IAM is not asked about here.
func (w world) owner(in string) *ec2.Client {
	return ec2.New(ec2.Options{Region: region, BaseEndpoint: &w.url,
		Credentials: fleet.StaticCredentials(simclient.AccessKey(in), "secret"),
		HTTPClient:  unsigned{}})
}

// live walks through an agent's whole life by the code's own calls.
func (w world) live(t *testing.T, a fleet.Account, in string) {
	t.Helper()
	ctx := t.Context()
	old := w.primary(t, in, map[string]string{fleet.TagClient: client})
	require.NoError(t, w.Adopt(ctx, a, region, old, "a1"))
	template, err := w.Template(ctx, a, region, old)
	require.NoError(t, err)
	template.KeyName, template.NoSourceCheck = "", true
	for _, check := range w.Preflight(ctx, a, region, region+"a", template) {
		require.NotEqual(t, preflight.Failed, check.Result, "%+v", check)
	}
	_, err = w.Zones(ctx, a, region)
	require.NoError(t, err)
	_, err = w.Offerings(ctx, a, region, "m5.*")
	require.NoError(t, err)
	_, err = w.InstanceTypes(ctx, a, region)
	require.NoError(t, err)
	_, err = w.PlacementScores(ctx, a, region, []string{"m5.large", "m5a.large", "m6i.large"})
	require.NoError(t, err)
	_, err = w.OnDemandPrice(ctx, region, "m5.large")
	require.NoError(t, err)
	require.NoError(t, w.SpotPrices(ctx, a, region, fleet.SpotPriceQuery{InstanceTypes: []string{"m5.large"}},
		func([]fleet.SpotPrice) error { return nil }))
	for _, mode := range []agent.Mode{agent.Spot, agent.OnDemand} {
		where := replica.Candidate{PoolID: agent.PoolID("m5.large", region+"b"), InstanceType: "m5.large",
			Region: region, AZ: region + "b", Mode: mode}
		request, err := fleet.NewLaunchRequest(template, where, fleet.Owner{ClientID: client, AgentID: "a1",
			ReplicaID: "r-" + string(mode), Operation: "replica/r", Epoch: 1})
		require.NoError(t, err)
		made, err := w.Launch(ctx, a, request)
		require.NoError(t, err)
		require.Empty(t, made.Lacks)
		_, err = w.ConsoleState(ctx, a, region, made.ID)
		require.NoError(t, err)
		require.NoError(t, w.Terminate(ctx, a, region, made.ID, time.Now()))
	}
	require.NoError(t, w.Terminate(ctx, a, region, old, time.Now()))
	w.gate.requireNothingRefused(t)
}

// elsewhere are the calls that are made of other services than EC2, with what they are
// about. The last two are of no call's name.
func elsewhere() map[string]iam.Request {
	const bucket = "arn:aws:s3:::spotkeeper-artifacts-" + account + "-" + region
	queue := "arn:aws:sqs:" + region + ":" + account + ":spotkeeper-events"
	return map[string]iam.Request{
		"s3:GetObject":                {Action: "s3:GetObject", Resource: bucket + "/models/c1/0"},
		"s3:PutObject":                {Action: "s3:PutObject", Resource: bucket + "/models/c1/0"},
		"s3:DeleteObject":             {Action: "s3:DeleteObject", Resource: bucket + "/models/c1/0"},
		"s3:ListObjectsV2":            {Action: "s3:ListBucket", Resource: bucket},
		"sqs:ReceiveMessage":          {Action: "sqs:ReceiveMessage", Resource: queue},
		"sqs:DeleteMessage":           {Action: "sqs:DeleteMessage", Resource: queue},
		"sqs:ChangeMessageVisibility": {Action: "sqs:ChangeMessageVisibility", Resource: queue},
	}
}

// TestPoliciesAllowEveryCall: the code lives an agent's life in a tenant's account and in
// our own, with IAM before each call, and what the code calls beyond EC2 is allowed too.
// Nothing is allowed that no call needs.
func TestPoliciesAllowEveryCall(t *testing.T) {
	t.Parallel()
	s := createStacks(t, nil)
	w := s.world(t)
	w.live(t, fleet.Account{ClientID: client, RoleARN: s.tenant.ARN, ExternalID: externalID}, tenantAccount)
	o := s.world(t)
	o.gate.base = moveToTenant(s.control.Policies)
	o.live(t, fleet.Account{ClientID: client, Own: true}, account)

	asked := map[string]map[iam.Decision]int{"sts:GetCallerIdentity": {}}
	for name, r := range elsewhere() {
		require.Equal(t, iam.Allow, iam.Decide(r, s.control.Policies...), name)
		asked[name] = map[iam.Decision]int{iam.Allow: 1}
	}
	for _, g := range []*gate{w.gate, o.gate} {
		for action, decisions := range g.asked {
			if asked[action] == nil {
				asked[action] = map[iam.Decision]int{}
			}
			for d, n := range decisions {
				asked[action][d] += n
			}
		}
	}
	calls, err := iac.Calls(repo)
	require.NoError(t, err)
	require.Contains(t, calls, "ec2:RunInstances")
	unasked := slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return asked[c] != nil })
	for _, call := range unasked {
		require.True(t, strings.HasPrefix(call, "ec2:Describe") || call == "servicequotas:ListServiceQuotas",
			"%s was not evaluated", call)
		for _, policies := range [][]iam.Policy{s.control.Policies, s.tenant.Policies} {
			require.Equal(t, iam.Allow, iam.Decide(iam.Request{Action: call, Resource: "*"}, policies...), call)
		}
	}
	report(t, asked, unasked)

	// No call has the names of these. EC2 asks for those of KMS in the caller's name when a
	// volume is encrypted:
	// https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html
	needed := append(slices.Clone(calls), "iam:PassRole", "s3:ListBucket", "sqs:GetQueueAttributes",
		"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext",
		"kms:ReEncryptFrom", "kms:ReEncryptTo")
	for _, p := range append(slices.Clone(s.control.Policies), s.tenant.Policies...) {
		for _, action := range p.Actions() {
			require.Contains(t, needed, action, "no call needs it")
		}
	}
}

func report(t *testing.T, asked map[string]map[iam.Decision]int, unasked []string) {
	t.Helper()
	total := 0
	for _, action := range slices.Sorted(maps.Keys(asked)) {
		total += asked[action][iam.Allow]
		t.Logf("%-44s allowed %d", action, asked[action][iam.Allow])
	}
	t.Logf("%d calls of the code, %d requests evaluated and allowed; evaluated by name alone: %v", len(asked)+len(unasked), total, unasked)
}
