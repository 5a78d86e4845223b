package iac_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/iam"
	"spotkeeper/internal/testkit/moto"
)

const (
	region  = "us-east-1"
	account = "123456789012" // moto's
	repo    = "../../.."
)

// amazon is moto: it creates the stacks, and shows the policies as they came out.
type amazon struct {
	t      *testing.T
	stacks *cloudformation.Client
	iam    *awsiam.Client
}

func newAmazon(t *testing.T) amazon {
	t.Helper()
	config := aws.Config{Region: region, BaseEndpoint: aws.String(moto.Start(t)),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:  &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}}
	return amazon{t, cloudformation.NewFromConfig(config), awsiam.NewFromConfig(config)}
}

// create makes a stack of a template of deploy/cloudformation and returns its outputs.
func (a amazon) create(name, file string, parameters map[string]string) map[string]string {
	a.t.Helper()
	template, err := os.ReadFile(repo + "/deploy/cloudformation/" + file)
	require.NoError(a.t, err)
	in := &cloudformation.CreateStackInput{StackName: &name, TemplateBody: aws.String(string(template)),
		Capabilities: []types.Capability{types.CapabilityCapabilityNamedIam}}
	for key, value := range parameters {
		in.Parameters = append(in.Parameters,
			types.Parameter{ParameterKey: aws.String(key), ParameterValue: aws.String(value)})
	}
	_, err = a.stacks.CreateStack(a.t.Context(), in)
	require.NoError(a.t, err)
	made, err := a.stacks.DescribeStacks(a.t.Context(), &cloudformation.DescribeStacksInput{StackName: &name})
	require.NoError(a.t, err)
	require.Equal(a.t, types.StackStatusCreateComplete, made.Stacks[0].StackStatus)
	outputs := map[string]string{}
	for _, o := range made.Stacks[0].Outputs {
		outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	return outputs
}

// role is what IAM has of a role.
type role struct {
	ARN      string
	Trust    iam.Policy
	Policies []iam.Policy
	// Documents are the trust policy and the policies as text, by their names.
	Documents map[string]string
}

// role reads a role's trust policy and all of its policies, attached ones included.
func (a amazon) role(name string) role {
	a.t.Helper()
	ctx := a.t.Context()
	got, err := a.iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: &name})
	require.NoError(a.t, err)
	out := role{ARN: aws.ToString(got.Role.Arn), Documents: map[string]string{}}
	out.Documents["trust"] = a.unescape(got.Role.AssumeRolePolicyDocument)
	out.Trust = a.parse(out.Documents["trust"])
	inline, err := a.iam.ListRolePolicies(ctx, &awsiam.ListRolePoliciesInput{RoleName: &name})
	require.NoError(a.t, err)
	for _, policy := range inline.PolicyNames {
		p, err := a.iam.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
		require.NoError(a.t, err)
		out.Documents[policy] = a.unescape(p.PolicyDocument)
		out.Policies = append(out.Policies, a.parse(out.Documents[policy]))
	}
	attached, err := a.iam.ListAttachedRolePolicies(ctx, &awsiam.ListAttachedRolePoliciesInput{RoleName: &name})
	require.NoError(a.t, err)
	for _, policy := range attached.AttachedPolicies {
		out.Documents[*policy.PolicyName] = a.managed(ctx, policy.PolicyArn)
		out.Policies = append(out.Policies, a.parse(out.Documents[*policy.PolicyName]))
	}
	return out
}

func (a amazon) managed(ctx context.Context, arn *string) string {
	a.t.Helper()
	p, err := a.iam.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: arn})
	require.NoError(a.t, err)
	v, err := a.iam.GetPolicyVersion(ctx,
		&awsiam.GetPolicyVersionInput{PolicyArn: arn, VersionId: p.Policy.DefaultVersionId})
	require.NoError(a.t, err)
	return a.unescape(v.PolicyVersion.Document)
}

// unescape reads a document as IAM's API writes it: percent-encoded. Moto writes the
// policies that a role has in its template as Python does, with other quotes.
func (a amazon) unescape(document *string) string {
	a.t.Helper()
	text, err := url.QueryUnescape(aws.ToString(document))
	require.NoError(a.t, err)
	if strings.HasPrefix(text, "{'") {
		text = strings.ReplaceAll(text, "'", `"`)
	}
	return text
}

func (a amazon) parse(document string) iam.Policy {
	a.t.Helper()
	p, err := iam.Parse(document)
	require.NoError(a.t, err, document)
	return p
}
