package app

import (
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres/prices"
)

// collect runs the job that reads types and prices.
func (f *field) collect() {
	f.t.Helper()
	_, err := (&activities.Prices{
		Store:  &prices.Prices{DB: f.DB},
		Market: newEC2Market(f.Fleet),
		Log:    f.Log,
	}).CollectPrices(f.t.Context())
	require.NoError(f.t, err)
}

// TestPreflightFindsInCalm (K8) what would fail in the emergency. It notifies once with the
// repair, and again when the problem is mended.
func TestPreflightFindsInCalm(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	_, err := f.ec2.CreateKeyPair(t.Context(), &ec2.CreateKeyPairInput{KeyName: aws.String("ops")})
	require.NoError(t, err)
	old := f.machine()
	image, err := f.ec2.CreateImage(t.Context(), &ec2.CreateImageInput{
		InstanceId: old.InstanceId,
		Name:       aws.String("golden"),
	})
	require.NoError(t, err)
	m := f.join("web",
		f.machine(func(in *ec2.RunInstancesInput) {
			in.ImageId, in.KeyName = image.ImageId, aws.String("ops")
			in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
		}))
	lax := f.join("lax", old)
	var warned preflight.Report
	f.call("GET", "/api/client/agents/"+lax.id+"/preflight?run=true", nil, &warned)
	require.Equal(t, preflight.Warning, warned.Result)
	require.Contains(t, f.log.String(), "IMDSv2")
	run := func() preflight.Report {
		t.Helper()
		var report preflight.Report
		require.Equal(t, http.StatusOK, f.ask("GET", "/api/client/agents/"+m.id+"/preflight?run=true", nil, &report),
			f.log.String())
		return report
	}
	require.Equal(t, preflight.OK, run().Result, f.log.String())

	_, err = f.ec2.DeleteKeyPair(t.Context(), &ec2.DeleteKeyPairInput{KeyName: aws.String("ops")})
	require.NoError(t, err)
	_, err = f.ec2.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: image.ImageId})
	require.NoError(t, err)
	f.fault(simclient.Fault{Action: "RunInstances", Market: "spot", Code: "UnauthorizedOperation", Message: encoded})
	report := run()
	require.Equal(t, preflight.Failed, report.Result)
	failed := map[string]string{}
	for _, c := range report.Checks {
		if c.Result == preflight.Failed {
			failed[c.Name] = c.Repair
		}
	}
	require.Contains(t, failed["image "+*image.ImageId], "restore or copy it")
	require.Contains(t, failed["key pair ops"], "create it again")
	require.Contains(t, failed["launch of spot/m5.large.us-east-1b"], "ec2:RunInstances")
	require.NotContains(t, f.log.String(), "Encoded")
	run()
	notified := f.list(`SELECT message FROM notifications WHERE dedup_key LIKE 'preflight:%'`)
	require.Len(t, notified, 1, "once")
	require.Contains(t, notified[0], "web")
	require.Contains(t, notified[0], "create it again")

	require.NoError(t, f.sim.ClearFaults(t.Context()))
	_, err = f.ec2.CreateKeyPair(t.Context(), &ec2.CreateKeyPairInput{KeyName: aws.String("ops")})
	require.NoError(t, err)
	_, err = f.DB.Pool.Exec(t.Context(),
		`UPDATE launch_templates SET template = jsonb_set(template, '{image_id}', to_jsonb($1::text))`,
		simclient.PublicImage("us-east-1", "x86_64"))
	require.NoError(t, err)
	require.Equal(t, preflight.OK, run().Result, f.log.String())
	require.Len(t,
		f.list(`SELECT message FROM notifications WHERE dedup_key LIKE 'preflight:%' AND severity = 'info'`), 1,
		"mended")
}

// TestPreflightLooksForTheSpotRole: a spot instance in the region shows that the account has the
// service-linked role; without one the preflight says that it does not know, and how to make sure.
func TestPreflightLooksForTheSpotRole(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	require.NoError(t, f.sim.SetSpotRole(t.Context(), simclient.SpotRole{Account: fieldAccount, Missing: true}))
	m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) { in.InstanceMarketOptions = nil }))
	role := func() (found preflight.Check) {
		t.Helper()
		var report preflight.Report
		f.call("GET", "/api/client/agents/"+m.id+"/preflight?run=true", nil, &report)
		for _, c := range report.Checks {
			if c.Name == "service-linked role of EC2 Spot" {
				found = c
			}
		}
		return found
	}
	require.Equal(t, preflight.Unknown, role().Result)
	require.Contains(t, role().Repair, "create-service-linked-role")
	require.NoError(t, f.sim.SetSpotRole(t.Context(), simclient.SpotRole{Account: fieldAccount}))
	f.machine()
	require.Equal(t, preflight.OK, role().Result)
	f.fault(simclient.Fault{Action: "DescribeSpotInstanceRequests", Code: "UnauthorizedOperation", Message: encoded})
	require.Equal(t, preflight.Unknown, role().Result)
	require.NotContains(t, f.log.String(), "Encoded")
}

// TestOrdersThatCannotWorkAreRefused at once, with a sentence.
func TestOrdersThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine())
	f.collect()
	_, err := f.DB.Pool.Exec(
		t.Context(),
		`
		INSERT INTO pools (id, instance_type, region, az)
		VALUES ('m5.large.us-west-2a', 'm5.large', 'us-west-2', 'us-west-2a'),
		('m6g.large.us-east-1b', 'm6g.large', 'us-east-1', 'us-east-1b') ON CONFLICT DO NOTHING`,
	)
	require.NoError(t, err)
	_, err = f.DB.Pool.Exec(t.Context(),
		`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		SELECT id, instance_type, region, az, 0.03, 'collector', now() FROM pools ON CONFLICT DO NOTHING`)
	require.NoError(t, err)
	for pool, words := range map[string]string{
		"m5.large.us-west-2a":  "us-west-2",
		"m6g.large.us-east-1b": "arm64",
		"m5.large.us-east-1a":  "already",
	} {
		var answer struct {
			Error, Code string
		}
		status := f.ask("POST", "/api/client/instances/"+m.at+"/force-switch",
			map[string]any{"target": "pool", "pool_id": pool}, &answer)
		require.Equal(t, http.StatusBadRequest, status, "%s: %s", pool, f.log.String())
		require.Contains(t, answer.Error, words)
		require.Equal(t, "switch.invalid_target", answer.Code)
	}
	var answer struct{ Error, Code string }
	require.Equal(t, http.StatusBadRequest, f.ask("POST", "/api/client/instances/"+m.at+"/force-switch",
		map[string]any{"target": "ondemand", "new_instance_type": "m5.lage"}, &answer), f.log.String())
	require.Contains(t, answer.Error, "no instance type m5.lage in us-east-1")
	_, err = f.DB.Pool.Exec(t.Context(), `UPDATE agents SET keeping = 'manual'`)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, f.ask("POST", "/api/agents/"+m.id+"/replicas",
		map[string]any{"pool_id": "m5.large.us-west-2a"}, &answer), f.log.String())
	require.Contains(t, answer.Error, "us-west-2")
	require.Empty(t, f.list(`SELECT id FROM commands`))
	require.Empty(t, f.list(`SELECT id FROM replicas`))
	f.ask("POST", "/api/client/instances/"+m.at+"/force-switch", map[string]any{
		"target":  "pool",
		"pool_id": "m5.large.us-east-1b",
	}, nil)
	require.Equal(t, []string{"m5.large.us-east-1b"}, f.list(`SELECT target_pool_id FROM commands`),
		"the order is durable, whatever the stand-in for Temporal says")
}

// TestHiddenUserDataStopsAVoluntaryMove (K10): the new instance would start without it.
func TestHiddenUserDataStopsAVoluntaryMove(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	f.fault(simclient.Fault{Action: "DescribeInstanceAttribute", Code: "UnauthorizedOperation"})
	m := f.join("web", f.machine())
	require.Len(t, f.list(`SELECT message FROM notifications WHERE message LIKE '%the user data%'`), 1,
		"notified at adoption")
	var answer struct{ Error string }
	require.Equal(t, http.StatusBadRequest, f.ask("POST", "/api/client/instances/"+m.at+"/force-switch",
		map[string]any{"target": "pool", "pool_id": "m5.large.us-east-1b"}, &answer), f.log.String())
	require.Contains(t, answer.Error, "ec2:DescribeInstanceAttribute")
	require.Empty(t, f.list(`SELECT id FROM commands`))
}

// TestChoiceAmongTypes: another family comes before nothing, by requirements that follow
// from the present type or are set; the answer says why not the others.
func TestChoiceAmongTypes(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	m := f.join("web", f.machine())
	f.collect()
	var answer struct {
		Types []struct {
			InstanceType string `json:"instance_type"`
			Fits         bool
			Why          string
		}
	}
	path := "/api/client/agents/" + m.id + "/requirements"
	fitting := func() (out []string, why map[string]string) {
		why = map[string]string{}
		for _, x := range answer.Types {
			if x.Fits {
				out = append(out, x.InstanceType)
			}
			why[x.InstanceType] = x.Why
		}
		return out, why
	}
	f.call("GET", path, nil, &answer)
	fit, why := fitting()
	require.Equal(t, []string{"c5.xlarge", "c6i.xlarge", "m5.large", "m5.xlarge", "m5a.large", "m5a.xlarge",
		"m6i.large", "m6i.xlarge", "r5.large", "r6i.large"}, fit)
	require.Contains(t, why["m6g.large"], "arm64")
	require.Contains(t, why["c5.large"], "less than")
	require.Contains(t, why["t3.large"], "burstable")
	require.Contains(t, why["m5.4xlarge"], "more than")

	f.call("PUT", path, map[string]any{"include": []string{"m5a.*", "m5.*"}, "max_vcpus": 2}, &answer)
	fit, _ = fitting()
	require.Equal(t, []string{"m5.large", "m5a.large"}, fit)
	require.Equal(t, http.StatusBadRequest, f.ask("PUT", path, map[string]any{"min_vcpus": 8, "max_vcpus": 2}, nil))

	var notified struct {
		Sentences []string
		Types     struct {
			Considered []string
			Others     []struct {
				InstanceType string `json:"instance_type"`
				Why          string
			}
		}
	}
	f.call("GET", "/api/client/agents/"+m.id+"/explain", nil, &notified)
	require.Equal(t, []string{"m5.large", "m5a.large"}, notified.Types.Considered)
	require.Contains(t, strings.Join(notified.Sentences, " "), "A replacement may be of m5.large, m5a.large;")
	for _, o := range notified.Types.Others {
		require.NotEmpty(t, o.Why, o.InstanceType)
	}

	client := "/api/client/" + f.account().ClientID + "/requirements"
	f.call("PUT", client, map[string]any{"exclude": []string{"m5a.*"}}, nil)
	require.Equal(t, http.StatusBadRequest, f.ask("PUT", client, map[string]any{"architecture": "vax"}, nil))
	f.call("GET", path, nil, &answer)
	fit, why = fitting()
	require.Equal(t, []string{"m5.large"}, fit, "what the agent does not say is the client's")
	require.Equal(t, "it is excluded", why["m5a.large"])
	f.call("PUT", client, map[string]any{}, nil)

	f.call("PUT", path, map[string]any{"min_vcpus": 8}, &answer)
	f.fault(simclient.Fault{Action: "RunInstances", Pool: "m5.large.*", Code: "InsufficientInstanceCapacity"})
	out := m.lose()
	require.Contains(t, out.SuccessorPool, ".2xlarge.", "at least eight vCPUs, after %v", out.Launches)
	require.NoError(t, f.sim.ClearFaults(t.Context()))
}

// TestChoiceStaysInItsRequirements: what is included is launched, and nothing else.
func TestChoiceStaysInItsRequirements(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	m := f.join("web", f.machine())
	f.collect()
	f.call("PUT", "/api/client/agents/"+m.id+"/requirements", map[string]any{
		"include":   []string{"m5a.*", "m5.*"},
		"max_vcpus": 2,
	}, nil)
	f.fault(simclient.Fault{Action: "RunInstances", Pool: "m5.*", Code: "InsufficientInstanceCapacity"})
	out := m.lose()
	require.True(t, strings.HasPrefix(out.SuccessorPool, "m5a.large."), "%s after %v", out.SuccessorPool, out.Launches)
}

// TestAQuotaThatFitsASmallerSize: what is left of a quota is used for a smaller size that meets
// the requirements. Sizes that need as much as the refused one or more are not tried.
func TestAQuotaThatFitsASmallerSize(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{Delays: simclient.AWSDelays()})
	m := f.join("web", f.machine(func(in *ec2.RunInstancesInput) { in.InstanceType = types.InstanceTypeM52xlarge }))
	f.collect()
	f.call("PUT", "/api/client/agents/"+m.id+"/requirements", map[string]any{
		"include":        []string{"m5.*"},
		"min_vcpus":      4,
		"min_memory_mib": 8192,
	}, nil)
	spot, demand := 8+4, 0
	require.NoError(t, f.sim.SetQuota(t.Context(), simclient.Quota{
		Account:   fieldAccount,
		Region:    "us-east-1",
		SpotVCPUs: &spot,
		VCPUs:     &demand,
	}))
	out := m.lose()
	require.True(t, strings.HasPrefix(out.SuccessorPool, "m5.xlarge."), "%s after %v", out.SuccessorPool, out.Launches)
	require.Equal(t, 1, out.Replicas, out.Steps)
	require.Len(t, out.Launches, 3, "one of the wanted size in each market, and the smaller one: %v", out.Launches)
}

// TestQuotasAreHeldAgainstTheLossOfAZone: notified once, and when they suffice again.
func TestQuotasAreHeldAgainstTheLossOfAZone(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		f.join(name, f.machine())
	}
	f.collect()
	var got struct {
		Result  preflight.Result
		Agents  map[string]int
		Regions []struct {
			Region string
			Checks []preflight.Check
		}
	}
	path := "/api/client/" + f.account().ClientID + "/preflight"
	f.call("GET", path, nil, &got)
	require.Equal(t, preflight.Unknown, got.Result, "nothing was checked yet")
	require.Equal(t, 3, got.Agents["unchecked"])

	limit := func(spot, demand int) {
		require.NoError(t, f.sim.SetQuota(t.Context(), simclient.Quota{
			Account:   fieldAccount,
			Region:    "us-east-1",
			SpotVCPUs: &spot,
			VCPUs:     &demand,
		}))
		f.call("GET", path+"?run=true", nil, &got)
	}
	limit(12, 0)
	require.Equal(t, preflight.OK, got.Result, f.log.String())
	limit(11, 6)
	require.Equal(t, preflight.Warning, got.Result, f.log.String())
	notified := func() []string {
		return f.list(`SELECT severity FROM notifications WHERE dedup_key LIKE 'quotas:%' ORDER BY created_at`)
	}
	require.Empty(t, notified())
	for range 3 {
		limit(11, 5)
	}
	require.Equal(t, preflight.Failed, got.Result)
	require.Contains(t, got.Regions[0].Checks[0].Repair, "at least 12 in Service Quotas")
	require.Equal(t, []string{"error"}, notified(), "once")
	limit(200, 200)
	require.Equal(t, []string{"error", "info"}, notified())
	limit(11, 5)
	require.Equal(t, []string{"info", "error"}, notified(), "again")

	f.fault(simclient.Fault{Action: "ListServiceQuotas", Code: "AccessDeniedException"})
	f.call("GET", path+"?run=true", nil, &got)
	require.Equal(t, preflight.Unknown, got.Result)
	require.Contains(t, got.Regions[0].Checks[0].Repair, "servicequotas:ListServiceQuotas")
}

// TestOddRequirementsAreRefusedAtTheDoor: what no type can meet, what contradicts itself or the
// image, and what is too much to be meant, is a 400 with a sentence, for an agent and for a client.
// What was set before stays, and {} lifts everything.
func TestOddRequirementsAreRefusedAtTheDoor(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m := f.join("web", f.machine())
	f.collect()
	many := make([]string, 5000)
	for n := range many {
		many[n] = "m5.*"
	}
	agent := "/api/client/agents/" + m.id + "/requirements"
	client := "/api/client/" + f.account().ClientID + "/requirements"
	kept := map[string]any{"exclude": []string{"m5a.*"}}
	for name, c := range map[string]struct {
		body map[string]any
		says string
	}{
		"vCPUs, least above most":      {map[string]any{"min_vcpus": 8, "max_vcpus": 2}, "max_vcpus is below min_vcpus"},
		"memory, least above most":     {map[string]any{"min_memory_mib": 9000, "max_memory_mib": 1}, "max_memory_mib is below"},
		"fewer vCPUs than the present": {map[string]any{"max_vcpus": 1}, "vCPUs"},
		"negative":                     {map[string]any{"min_vcpus": -1}, "not negative"},
		"vCPUs past 32 bits":           {map[string]any{"min_vcpus": 99999999999}, "vCPUs are 10000 at most"},
		"vCPUs whose double is past":   {map[string]any{"min_vcpus": 2000000000}, "vCPUs are 10000 at most"},
		"memory past 32 bits":          {map[string]any{"max_memory_mib": 3000000000}, "at most"},
		"no type has so many":          {map[string]any{"min_vcpus": 9000}, "no instance type of the region meets them"},
		"accelerators below none":      {map[string]any{"accelerators": -1}, "accelerators"},
		"accelerators that none has":   {map[string]any{"accelerators": 900}, "no instance type"},
		"an architecture of old":       {map[string]any{"architecture": "vax"}, "x86_64 or arm64"},
		"not the image's architecture": {map[string]any{"architecture": "arm64"}, "the image runs on x86_64"},
		"an unknown family":            {map[string]any{"include": []string{"zz9.*"}}, `no instance type "zz9.*"`},
		"a slip beside what is known":  {map[string]any{"include": []string{"m5.*", "m5.lagre"}}, `no instance type "m5.lagre"`},
		"a slip in what is left out":   {map[string]any{"exclude": []string{"m5.lagre"}}, `no instance type "m5.lagre"`},
		"everything is left out":       {map[string]any{"exclude": []string{"*"}}, "it is excluded"},
		"included and excluded":        {map[string]any{"include": []string{"m5.*"}, "exclude": []string{"m5.*"}}, "it is excluded"},
		"an empty pattern":             {map[string]any{"include": []string{""}}, "is not a pattern"},
		"a broken pattern":             {map[string]any{"include": []string{"m5.["}}, "is not a pattern"},
		"a pattern without an end":     {map[string]any{"exclude": []string{strings.Repeat("m5*", 500)}}, "is not a pattern"},
		"5,000 patterns":               {map[string]any{"include": many}, "at most 100 patterns"},
	} {
		for who, path := range map[string]string{"agent": agent, "client": client} {
			var answer struct{ Error, Code string }
			f.call("PUT", path, kept, nil)
			require.Equal(t, http.StatusBadRequest, f.ask("PUT", path, c.body, &answer), "%s, %s", name, who)
			require.Contains(t, answer.Error, c.says, "%s, %s", name, who)
			require.Equal(t, "replica.bad_requirements", answer.Code, "%s, %s", name, who)
			if who == "client" && c.says[:2] == "no" && c.says != "not negative" {
				require.Contains(t, answer.Error, "agent web: ")
			}
			var now struct{ Requirements map[string]any }
			f.call("GET", path, nil, &now)
			require.Equal(t, map[string]any{"exclude": []any{"m5a.*"}}, now.Requirements, "%s, %s", name, who)
			f.call("PUT", path, map[string]any{}, nil)
		}
	}

	// Each half is fine by itself.
	f.call("PUT", client, map[string]any{"max_vcpus": 4}, nil)
	var answer struct{ Error string }
	require.Equal(t, http.StatusBadRequest, f.ask("PUT", agent, map[string]any{"min_vcpus": 8}, &answer))
	require.Contains(t, answer.Error, "max_vcpus is below min_vcpus")
	f.call("PUT", client, map[string]any{}, nil)
	f.call("PUT", agent, map[string]any{"min_vcpus": 8}, nil)
	require.Equal(t, http.StatusBadRequest, f.ask("PUT", client, map[string]any{"max_vcpus": 4}, &answer))
	require.Contains(t, answer.Error, "agent web: max_vcpus is below min_vcpus")
}
