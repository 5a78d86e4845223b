package iac_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/fleet"
	"spotkeeper/internal/testkit/iam"
)

// tags makes condition keys of tags that a request sets (aws:RequestTag) or that a resource
// has (aws:ResourceTag).
func tags(key string, pairs ...string) map[string][]string {
	out := map[string][]string{}
	for n := 0; n < len(pairs); n += 2 {
		out[key+"/"+pairs[n]] = []string{pairs[n+1]}
		if key == "aws:RequestTag" {
			out["aws:TagKeys"] = append(out["aws:TagKeys"], pairs[n])
		}
	}
	return out
}

func both(maps_ ...map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, m := range maps_ {
		maps.Copy(out, m)
	}
	return out
}

// question is a request, and what a tenant's role and the control plane's own answer.
type question struct {
	name        string
	request     iam.Request
	tenant, own iam.Decision
}

const (
	yes = iam.Allow
	no  = iam.ImplicitDeny
)

func questions() []question {
	const instances = "arn:aws:ec2:us-east-1:" + tenantAccount + ":instance/"
	marked := []string{fleet.TagManagedBy, fleet.ManagedBy, fleet.TagClient, client}
	foreign := []string{fleet.TagManagedBy, fleet.ManagedBy, fleet.TagClient, "c2"}
	v2 := map[string][]string{"ec2:MetadataHttpTokens": {"required"}}
	v1 := map[string][]string{"ec2:MetadataHttpTokens": {"optional"}}
	atLaunch := map[string][]string{"ec2:CreateAction": {"RunInstances"}}
	toEC2 := map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}}
	ask := func(action, resource string, context ...map[string][]string) iam.Request {
		return iam.Request{Action: action, Resource: resource, Context: both(context...)}
	}
	const end, run, tag, change, pass = "ec2:TerminateInstances", "ec2:RunInstances", "ec2:CreateTags",
		"ec2:ModifyInstanceAttribute", "iam:PassRole"
	return []question{
		{"end what is marked", ask(end, instances+"i", tags("aws:ResourceTag", marked...)), yes, yes},
		{"end what is not tagged", ask(end, instances+"i"), no, no},
		{"end what only says whose it is", ask(end, instances+"i", tags("aws:ResourceTag", fleet.TagClient, client)), no, no},
		{"end what only says who manages it", ask(end, instances+"i", tags("aws:ResourceTag", marked[:2]...)), no, no},
		{"end what another manages", ask(end, instances+"i", tags("aws:ResourceTag", fleet.TagManagedBy, "karpenter", fleet.TagClient, client)), no, no},
		{"end what is another client's", ask(end, instances+"i", tags("aws:ResourceTag", foreign...)), no, yes},
		{"change what is not tagged", ask(change, instances+"i"), no, no},
		{"change what is marked", ask(change, instances+"i", tags("aws:ResourceTag", marked...)), yes, yes},
		{"stop what is marked", ask("ec2:StopInstances", instances+"i", tags("aws:ResourceTag", marked...)), no, no},
		{"launch marked", ask(run, instances+"*", v2, tags("aws:RequestTag", marked...)), yes, yes},
		{"launch without tags", ask(run, instances+"*", v2), no, no},
		{"launch without the client's tag", ask(run, instances+"*", v2, tags("aws:RequestTag", marked[:2]...)), no, no},
		{"launch for another client", ask(run, instances+"*", v2, tags("aws:RequestTag", foreign...)), no, yes},
		{"launch with IMDSv1", ask(run, instances+"*", v1, tags("aws:RequestTag", marked...)), no, no},
		{"launch from an image", ask(run, "arn:aws:ec2:us-east-1::image/ami-1"), yes, yes},
		{"tag at launch", ask(tag, instances+"*", atLaunch, tags("aws:RequestTag", append(marked, "Name", "web")...)), yes, yes},
		{"tag at launch for another client", ask(tag, instances+"*", atLaunch, tags("aws:RequestTag", foreign...)), no, yes},
		{"tag at another creation", ask(tag, "arn:aws:ec2:us-east-1:1:volume/*", map[string][]string{"ec2:CreateAction": {"CreateVolume"}},
			tags("aws:RequestTag", marked...)), no, no},
		{"adopt what is not tagged", ask(tag, instances+"i", tags("aws:RequestTag", marked...)), yes, no},
		{"adopt what is tagged for the client", ask(tag, instances+"i", tags("aws:RequestTag", marked...), tags("aws:ResourceTag", fleet.TagClient, client)), yes, yes},
		{"adopt what is another client's", ask(tag, instances+"i", tags("aws:RequestTag", marked...), tags("aws:ResourceTag", fleet.TagClient, "c2")), no, yes},
		{"adopt for another client", ask(tag, instances+"i", tags("aws:RequestTag", foreign...)), no, no},
		{"change another tag", ask(tag, instances+"i", tags("aws:RequestTag", append(marked, "owner", "x")...), tags("aws:ResourceTag", marked...)), no, no},
		{"tag a volume", ask(tag, "arn:aws:ec2:us-east-1:1:volume/v", tags("aws:RequestTag", marked...)), no, no},
		{"pass a role of the path", ask(pass, "arn:aws:iam::"+tenantAccount+":role/spotkeeper/web", toEC2), yes, yes},
		{"pass a foreign role", ask(pass, "arn:aws:iam::"+tenantAccount+":role/admin", toEC2), no, no},
		{"pass our own role", ask(pass, "arn:aws:iam::"+tenantAccount+":role/spotkeeper-tenant", toEC2), no, no},
		{"pass a role to another service", ask(pass, "arn:aws:iam::"+tenantAccount+":role/spotkeeper/web",
			map[string][]string{"iam:PassedToService": {"lambda.amazonaws.com"}}), no, no},
		{"assume a tenant's role", ask("sts:AssumeRole", "arn:aws:iam::222222222222:role/spotkeeper-tenant"), no, yes},
		{"assume another role", ask("sts:AssumeRole", "arn:aws:iam::222222222222:role/admin"), no, no},
		{"read another bucket", ask("s3:GetObject", "arn:aws:s3:::secrets/x"), no, no},
		{"make a user", ask("iam:CreateUser", "*"), no, no},
	}
}

// TestPoliciesDeny: what a thief of our process could not do. The tenant's answers are given
// twice, by the role and, for what the role allows, by the session that narrows it.
func TestPoliciesDeny(t *testing.T) {
	t.Parallel()
	s := createStacks(t, nil)
	s.control.Policies = moveToTenant(s.control.Policies)
	denied := 0
	for _, q := range questions() {
		require.Equal(t, q.tenant, iam.Decide(q.request, s.tenant.Policies...), "tenant: %s", q.name)
		require.Equal(t, q.own, iam.Decide(q.request, s.control.Policies...), "own account: %s", q.name)
		t.Logf("%-36s tenant %-14s own account %s", q.name, q.tenant, q.own)
		for _, d := range []iam.Decision{q.tenant, q.own} {
			if d != iam.Allow {
				denied++
			}
		}
	}
	t.Logf("%d questions, %d answers, %d denied", len(questions()), 2*len(questions()), denied)
}

// TestParametersOfTheTenantRole: what the parameters widen and narrow, and nothing else.
func TestParametersOfTheTenantRole(t *testing.T) {
	t.Parallel()
	const named = "arn:aws:iam::" + tenantAccount + ":role/web"
	s := createStacks(t, map[string]string{"MetadataTokens": "any", "AdoptUntagged": "no", "InstanceRoles": named})
	other := map[string]iam.Decision{"launch with IMDSv1": yes, "adopt what is not tagged": no}
	for _, q := range questions() {
		want, changed := other[q.name]
		if !changed {
			want = q.tenant
		}
		require.Equal(t, want, iam.Decide(q.request, s.tenant.Policies...), q.name)
	}
	pass := iam.Request{Action: "iam:PassRole", Resource: named,
		Context: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}}}
	require.Equal(t, yes, iam.Decide(pass, s.tenant.Policies...))
}

// TestTrust: who may assume which role, and only with the external id.
func TestTrust(t *testing.T) {
	t.Parallel()
	s := createStacks(t, nil)
	ask := func(principal, external string) iam.Decision {
		r := iam.Request{Action: "sts:AssumeRole", Principal: principal,
			Context: map[string][]string{"aws:PrincipalArn": {principal}}}
		if external != "" {
			r.Context["sts:ExternalId"] = []string{external}
		}
		return iam.Decide(r, s.tenant.Trust)
	}
	require.Equal(t, yes, ask(s.control.ARN, externalID))
	require.Equal(t, no, ask(s.control.ARN, "another"))
	require.Equal(t, no, ask(s.control.ARN, ""))
	require.Equal(t, no, ask("arn:aws:iam::"+account+":user/intern", externalID))
	require.Equal(t, no, ask("arn:aws:iam::999999999999:role/spotkeeper-control-plane", externalID))

	pod := func(namespace, serviceAccount string) iam.Decision {
		return iam.Decide(iam.Request{Action: "sts:AssumeRole", Service: "pods.eks.amazonaws.com",
			Context: map[string][]string{"aws:SourceAccount": {account}, "aws:RequestTag/kubernetes-namespace": {namespace},
				"aws:RequestTag/kubernetes-service-account": {serviceAccount}}}, s.control.Trust)
	}
	require.Equal(t, yes, pod("spotkeeper", "spotkeeper-worker"))
	require.Equal(t, yes, pod("spotkeeper", "spotkeeper-api"))
	require.Equal(t, no, pod("spotkeeper", "default"))
	require.Equal(t, no, pod("default", "spotkeeper-worker"))
}
