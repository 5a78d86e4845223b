package iac_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/terraform-config-inspect/tfconfig"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"

	"spotkeeper/deploy/checks/iac"
)

const modules = repo + "/deploy/terraform/modules/"

// pair is one thing in both languages: properties of a resource of CloudFormation, by their
// path, and what Terraform calls them, as resource type.name and attribute.
type pair struct {
	resource   string
	properties map[string]string
}

var controlPairs = []pair{
	{"Events", map[string]string{
		"QueueName": "aws_sqs_queue.events name", "MessageRetentionPeriod": "aws_sqs_queue.events message_retention_seconds",
		"VisibilityTimeout":             "aws_sqs_queue.events visibility_timeout_seconds",
		"ReceiveMessageWaitTimeSeconds": "aws_sqs_queue.events receive_wait_time_seconds",
		"SqsManagedSseEnabled":          "aws_sqs_queue.events sqs_managed_sse_enabled",
		"RedrivePolicy":                 "aws_sqs_queue.events redrive_policy"}},
	{"DeadLetters", map[string]string{"QueueName": "aws_sqs_queue.dead_letters name",
		"MessageRetentionPeriod": "aws_sqs_queue.dead_letters message_retention_seconds",
		"SqsManagedSseEnabled":   "aws_sqs_queue.dead_letters sqs_managed_sse_enabled"}},
	{"EventsPolicy", map[string]string{"PolicyDocument": "aws_sqs_queue_policy.events policy", "Queues": ""}},
	{"Rule", map[string]string{"Name": "aws_cloudwatch_event_rule.events name", "State": "aws_cloudwatch_event_rule.events state",
		"Description":  "aws_cloudwatch_event_rule.events description",
		"EventPattern": "aws_cloudwatch_event_rule.events event_pattern",
		"Targets.0.Id": "aws_cloudwatch_event_target.queue target_id", "Targets.0.Arn": "aws_cloudwatch_event_target.queue arn"}},
	{"ReadEvents", map[string]string{"ManagedPolicyName": "aws_iam_policy.read_events name",
		"PolicyDocument": "aws_iam_policy.read_events policy", "Roles.0": "aws_iam_role_policy_attachment.read_events role"}},
	{"Artifacts", map[string]string{"BucketName": "aws_s3_bucket.artifacts bucket",
		"BucketEncryption.ServerSideEncryptionConfiguration.0.ServerSideEncryptionByDefault.SSEAlgorithm": "aws_s3_bucket_server_side_encryption_configuration.artifacts rule.apply_server_side_encryption_by_default.sse_algorithm",
		"PublicAccessBlockConfiguration.BlockPublicAcls":                                                  "aws_s3_bucket_public_access_block.artifacts block_public_acls",
		"PublicAccessBlockConfiguration.BlockPublicPolicy":                                                "aws_s3_bucket_public_access_block.artifacts block_public_policy",
		"PublicAccessBlockConfiguration.IgnorePublicAcls":                                                 "aws_s3_bucket_public_access_block.artifacts ignore_public_acls",
		"PublicAccessBlockConfiguration.RestrictPublicBuckets":                                            "aws_s3_bucket_public_access_block.artifacts restrict_public_buckets",
		"OwnershipControls.Rules.0.ObjectOwnership":                                                       "aws_s3_bucket_ownership_controls.artifacts rule.object_ownership"}},
	{"ArtifactsPolicy", map[string]string{"PolicyDocument": "aws_s3_bucket_policy.artifacts policy", "Bucket": "aws_s3_bucket_policy.artifacts bucket"}},
	{"Role", map[string]string{"RoleName": "aws_iam_role.control_plane name", "Description": "aws_iam_role.control_plane description",
		"AssumeRolePolicyDocument": "aws_iam_role.control_plane assume_role_policy",
		"Policies.0.PolicyName":    "aws_iam_role_policy.control_plane name", "Policies.0.PolicyDocument": "aws_iam_role_policy.control_plane policy"}},
	{"OwnAccountPolicy", map[string]string{"PolicyName": "aws_iam_role_policy.own_account name",
		"PolicyDocument": "aws_iam_role_policy.own_account policy", "Roles.0": "aws_iam_role_policy.own_account role"}},
	{"InstanceProfile", map[string]string{"InstanceProfileName": "aws_iam_instance_profile.control_plane name",
		"Roles.0": "aws_iam_instance_profile.control_plane role"}},
}

var tenantPairs = []pair{
	{"Role", map[string]string{"RoleName": "aws_iam_role.tenant name", "Description": "aws_iam_role.tenant description",
		"AssumeRolePolicyDocument": "aws_iam_role.tenant assume_role_policy",
		"Policies.0.PolicyName":    "aws_iam_role_policy.spotkeeper name", "Policies.0.PolicyDocument": "aws_iam_role_policy.spotkeeper policy"}},
	{"NamedRoles", map[string]string{"PolicyName": "aws_iam_role_policy.named_roles name",
		"PolicyDocument": "aws_iam_role_policy.named_roles policy", "Roles.0": "aws_iam_role_policy.named_roles role"}},
	{"DeliveryRole", map[string]string{"RoleName": "aws_iam_role.delivery name",
		"AssumeRolePolicyDocument": "aws_iam_role.delivery assume_role_policy",
		"Policies.0.PolicyName":    "aws_iam_role_policy.send name", "Policies.0.PolicyDocument": "aws_iam_role_policy.send policy"}},
	{"Rule", map[string]string{"Name": "aws_cloudwatch_event_rule.events name", "State": "aws_cloudwatch_event_rule.events state",
		"Description":  "aws_cloudwatch_event_rule.events description",
		"EventPattern": "aws_cloudwatch_event_rule.events event_pattern",
		"Targets.0.Id": "aws_cloudwatch_event_target.queue target_id", "Targets.0.Arn": "aws_cloudwatch_event_target.queue arn",
		"Targets.0.RoleArn": "aws_cloudwatch_event_target.queue role_arn"}},
}

var drillPairs = []pair{
	{"DrillRole", map[string]string{"RoleName": "aws_iam_role.drills name", "Description": "aws_iam_role.drills description",
		"AssumeRolePolicyDocument": "aws_iam_role.drills assume_role_policy",
		"Policies.0.PolicyName":    "aws_iam_role_policy.interrupt name", "Policies.0.PolicyDocument": "aws_iam_role_policy.interrupt policy"}},
	{"Interruption", map[string]string{"Description": "aws_fis_experiment_template.interruption description",
		"RoleArn":                                                 "aws_fis_experiment_template.interruption role_arn",
		"StopConditions.0.Source":                                 "aws_fis_experiment_template.interruption stop_condition.source",
		"Targets.primary.ResourceType":                            "aws_fis_experiment_template.interruption target.resource_type",
		"Targets.primary.SelectionMode":                           "aws_fis_experiment_template.interruption target.selection_mode",
		"Targets.primary.ResourceTags.spotkeeper:drill":           "aws_fis_experiment_template.interruption target.resource_tag.value",
		"Targets.primary.Filters.0.Path":                          "aws_fis_experiment_template.interruption target.filter.path",
		"Targets.primary.Filters.0.Values":                        "aws_fis_experiment_template.interruption target.filter.values",
		"Actions.interrupt.ActionId":                              "aws_fis_experiment_template.interruption action.action_id",
		"Actions.interrupt.Parameters.durationBeforeInterruption": "aws_fis_experiment_template.interruption action.parameter.value",
		"Actions.interrupt.Targets.SpotInstances":                 "aws_fis_experiment_template.interruption action.target.value",
		"Tags": "aws_fis_experiment_template.interruption tags"}},
}

// names are attributes of Terraform that are keys in CloudFormation's paths.
var names = []string{"target.name", "target.resource_tag.key", "action.name", "action.parameter.key", "action.target.key"}

// wiring are attributes that only tie one Terraform resource to another, which
// CloudFormation has in one resource.
var wiring = []string{"count", "rule", "queue_url", "policy_arn", "bucket", "role"}

// TestTerraformIsTheTemplates: with the same parameters both make the same resources with the
// same values, and neither has what the other lacks.
func TestTerraformIsTheTemplates(t *testing.T) {
	t.Parallel()
	text := cty.StringVal
	list := func(v ...string) cty.Value {
		var out []cty.Value
		for _, s := range v {
			out = append(out, text(s))
		}
		return cty.ListVal(out)
	}
	const named, delivery = "arn:aws:iam::222222222222:role/web", "arn:aws:iam::222222222222:role/spotkeeper-deliver-events-us-east-1"
	resources, values := 0, 0
	for _, c := range []struct {
		name, module string
		templates    []string
		parameters   map[string]any
		variables    map[string]cty.Value
		pairs        []pair
	}{
		{"control plane", "control-plane", []string{"control-role.yaml", "control-events.yaml"},
			map[string]any{"ControlPlaneRole": "spotkeeper-control-plane"}, nil, controlPairs},
		{"control plane on EC2 with its own tenants", "control-plane", []string{"control-role.yaml", "control-events.yaml"},
			map[string]any{"ControlPlaneRole": "spotkeeper-control-plane", "RunsOn": "ec2", "OwnAccount": "yes", "TenantRoles": named,
				"MetadataTokens": "any", "ArtifactsBucket": "ours"},
			map[string]cty.Value{"runs_on": text("ec2"), "own_account": cty.True, "tenant_roles": list(named),
				"tenant_delivery_roles": list(named), "metadata_tokens": text("any"), "artifacts_bucket": text("ours")}, controlPairs},
		{"tenant", "tenant-account", []string{"tenant-role.json", "tenant-events.yaml"},
			map[string]any{"ControlPlaneAccount": account, "ExternalId": "e", "ClientId": "c1", "QueueArn": "arn:q"},
			map[string]cty.Value{"control_plane_account": text(account), "external_id": text("e"), "client_id": text("c1"), "queue_arn": text("arn:q")}, tenantPairs},
		{"narrow tenant", "tenant-account", []string{"tenant-role.json", "tenant-events.yaml"},
			map[string]any{"ControlPlaneAccount": account, "ExternalId": "e", "ClientId": "c1", "QueueArn": "arn:q", "AdoptUntagged": "no",
				"MetadataTokens": "any", "InstanceRoles": named, "ControlPlanePrincipal": "role/x", "InstanceRolePath": "/app/"},
			map[string]cty.Value{"control_plane_account": text(account), "external_id": text("e"), "client_id": text("c1"), "queue_arn": text("arn:q"),
				"adopt_untagged": cty.False, "metadata_tokens": text("any"), "instance_roles": list(named),
				"control_plane_principal": text("role/x"), "instance_role_path": text("/app/")}, tenantPairs},
		{"drills", "drills", []string{"tenant-drills.yaml"}, map[string]any{"ClientId": "c1"},
			map[string]cty.Value{"client_id": text("c1")}, drillPairs},
	} {
		cloud := iac.Cloud{Account: tenantAccount, Region: region}
		made := map[string]iac.Resource{}
		for _, file := range c.templates {
			template, err := iac.ReadTemplate(repo+"/deploy/cloudformation/"+file, c.parameters)
			require.NoError(t, err)
			maps.Copy(made, template.Made(cloud))
		}
		evaluated, err := iac.EvaluateModule(modules+c.module, c.variables, cloud)
		require.NoError(t, err, c.name)
		unseen := map[string]bool{}
		for resource, attributes := range evaluated {
			for attribute := range attributes {
				if !slices.Contains(wiring, attribute) && !slices.Contains(names, attribute) {
					unseen[resource+" "+attribute] = true
				}
			}
		}
		for _, p := range c.pairs {
			r, is := made[p.resource]
			if !is {
				continue
			}
			resources++
			delete(made, p.resource)
			left := leaves(r.Properties, slices.Collect(maps.Keys(p.properties)))
			require.Empty(t, left, "%s: %s has properties that are not compared", c.name, p.resource)
			for path, target := range p.properties {
				value, has := at(r.Properties, path)
				resource, attribute, _ := strings.Cut(target, " ")
				got, is := evaluated[resource][attribute]
				if target == "" || !has && !is {
					continue
				}
				require.True(t, has && is, "%s: %s %s is in one of the two", c.name, p.resource, path)
				values++
				delete(unseen, target)
				require.Equal(t, canonical(t, value), canonical(t, plainOf(t, got)), "%s: %s %s", c.name, p.resource, path)
			}
		}
		require.Empty(t, made, "%s: Terraform lacks them", c.name)
		require.Empty(t, unseen, "%s: CloudFormation lacks them", c.name)
	}
	t.Logf("%d resources, %d values compared", resources, values)
}

// at reads a property by its path.
func at(v any, path string) (any, bool) {
	for key := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			one, has := in[key]
			if !has {
				return nil, false
			}
			v = one
		case []any:
			if key != "0" || len(in) == 0 {
				return nil, false
			}
			v = in[0]
		default:
			return nil, false
		}
	}
	return v, true
}

// leaves lists the properties that no compared path covers.
func leaves(v any, covered []string) (left []string) {
	var walk func(v any, path string)
	walk = func(v any, path string) {
		if slices.Contains(covered, path) {
			return
		}
		switch in := v.(type) {
		case map[string]any:
			for k, one := range in {
				walk(one, strings.TrimPrefix(path+"."+k, "."))
			}
		case []any:
			for n, one := range in {
				walk(one, fmt.Sprintf("%s.%d", path, n))
			}
		default:
			left = append(left, path)
		}
	}
	walk(v, "")
	return left
}

func plainOf(t *testing.T, v cty.Value) any {
	t.Helper()
	switch v.Type() {
	case cty.String:
		var document any
		if s := v.AsString(); strings.HasPrefix(s, "{") {
			require.NoError(t, json.Unmarshal([]byte(s), &document))
			return document
		}
		return v.AsString()
	case cty.Bool:
		return v.True()
	}
	switch {
	case v.Type().IsTupleType():
		var list []any
		for _, one := range v.AsValueSlice() {
			list = append(list, plainOf(t, one))
		}
		return list
	case v.Type().IsObjectType():
		object := map[string]any{}
		for name, one := range v.AsValueMap() {
			object[name] = plainOf(t, one)
		}
		return object
	}
	return v.AsBigFloat().String()
}

// canonical is one text for documents that say the same: keys in order, one thing and a
// list of it alike, the order of lists without meaning.
func canonical(t *testing.T, v any) string {
	t.Helper()
	switch in := v.(type) {
	case map[string]any:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(in)) {
			parts = append(parts, fmt.Sprintf("%q: %s", k, canonical(t, in[k])))
		}
		return "{" + strings.Join(parts, ",\n") + "}"
	case []any:
		if len(in) == 1 {
			return canonical(t, in[0])
		}
		var parts []string
		for _, one := range in {
			parts = append(parts, canonical(t, one))
		}
		slices.Sort(parts)
		return "[" + strings.Join(parts, ",\n") + "]"
	}
	return fmt.Sprintf("%q", fmt.Sprint(v))
}

// TestModulesAreWhole: HashiCorp's own reader finds no fault, and every variable and output
// is described.
func TestModulesAreWhole(t *testing.T) {
	t.Parallel()
	dirs, err := filepath.Glob(modules + "*")
	require.NoError(t, err)
	require.Len(t, dirs, 4)
	for _, dir := range append(dirs, repo+"/deploy/terraform/examples/one-account") {
		m, problems := tfconfig.LoadModule(dir)
		require.NoError(t, problems.Err(), dir)
		for _, v := range m.Variables {
			require.NotEmpty(t, v.Description, "%s: variable %s", dir, v.Name)
			require.NotEmpty(t, v.Type, "%s: variable %s", dir, v.Name)
		}
		if strings.Contains(dir, "/modules/") {
			require.NotEmpty(t, m.RequiredCore, dir)
			require.NotEmpty(t, m.RequiredProviders["aws"].VersionConstraints, dir)
			for _, o := range m.Outputs {
				require.NotEmpty(t, o.Description, "%s: output %s", dir, o.Name)
			}
			continue
		}
		for name, call := range m.ModuleCalls {
			called, problems := tfconfig.LoadModule(filepath.Join(dir, call.Source))
			require.NoError(t, problems.Err(), name)
			require.NotEmpty(t, called.Variables, name)
		}
	}
}

// TestAgentModule: what instances are given is on the path that the tenant's role may pass,
// and their role may read the token and nothing else.
func TestAgentModule(t *testing.T) {
	t.Parallel()
	text := cty.StringVal
	made, err := iac.EvaluateModule(modules+"agent", map[string]cty.Value{"api": text("https://a.example.com"),
		"packages": text("https://p.example.com"), "agent_id": text("web"), "token_parameter": text("/spotkeeper/token")},
		iac.Cloud{Account: tenantAccount, Region: region})
	require.NoError(t, err)
	require.Equal(t, "/spotkeeper/", made["aws_iam_role.instances"]["path"].AsString())
	require.Contains(t, made["aws_iam_role_policy.token"]["policy"].AsString(),
		`"arn:aws:ssm:us-east-1:`+tenantAccount+`:parameter/spotkeeper/token"`)
	require.NotContains(t, made, "aws_ssm_association.install", "only for targets")
}
