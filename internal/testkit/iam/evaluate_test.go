package iam_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/iam"
)

func parse(t *testing.T, statements string) iam.Policy {
	t.Helper()
	p, err := iam.Parse(`{"Version": "2012-10-17", "Statement": [` + statements + `]}`)
	require.NoError(t, err)
	return p
}

// TestConditions: each operator with a key that has the value, has another, and is absent.
// The outcomes are those of AWS's own pages; see the package comment.
func TestConditions(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string][3]iam.Decision{
		`{"StringEquals": {"k": ["x", "a"]}}`:                 {iam.Allow, iam.ImplicitDeny, iam.ImplicitDeny},
		`{"StringEquals": {"K": "a"}}`:                        {iam.Allow, iam.ImplicitDeny, iam.ImplicitDeny},
		`{"StringEqualsIfExists": {"k": "a"}}`:                {iam.Allow, iam.ImplicitDeny, iam.Allow},
		`{"StringNotEquals": {"k": "a"}}`:                     {iam.ImplicitDeny, iam.Allow, iam.Allow},
		`{"StringLike": {"k": "?"}}`:                          {iam.Allow, iam.ImplicitDeny, iam.ImplicitDeny},
		`{"StringNotLike": {"k": "a*"}}`:                      {iam.ImplicitDeny, iam.Allow, iam.Allow},
		`{"ArnLike": {"k": "a"}}`:                             {iam.Allow, iam.ImplicitDeny, iam.ImplicitDeny},
		`{"Null": {"k": "true"}}`:                             {iam.ImplicitDeny, iam.ImplicitDeny, iam.Allow},
		`{"Null": {"k": "false"}}`:                            {iam.Allow, iam.Allow, iam.ImplicitDeny},
		`{"ForAllValues:StringEquals": {"k": "a"}}`:           {iam.Allow, iam.ImplicitDeny, iam.Allow},
		`{"ForAnyValue:StringEquals": {"k": "a"}}`:            {iam.Allow, iam.ImplicitDeny, iam.ImplicitDeny},
		`{"StringEquals": {"k": "a"}, "Null": {"k": "true"}}`: {iam.ImplicitDeny, iam.ImplicitDeny, iam.ImplicitDeny},
	} {
		p := parse(t, `{"Effect": "Allow", "Action": "s:Do", "Resource": "*", "Condition": `+condition+`}`)
		for n, context := range []map[string][]string{{"k": {"a"}}, {"k": {"bb"}}, {}} {
			got := iam.Decide(iam.Request{Action: "s:Do", Resource: "r", Context: context}, p)
			require.Equal(t, want[n], got, "%s with %v", condition, context)
		}
	}
}

// TestStatements: actions without regard to case, resources with it, and denials first.
func TestStatements(t *testing.T) {
	t.Parallel()
	p := parse(t, `{"Effect": "Allow", "Action": ["ec2:Describe*", "s3:getObject"], "Resource": "arn:b/*"},
		{"Effect": "Allow", "Action": "ec2:RunInstances", "NotResource": "arn:instance/*"},
		{"Effect": "Deny", "NotAction": "ec2:*", "Resource": "arn:b/secret"}`)
	for request, want := range map[string]iam.Decision{
		"EC2:describeX arn:b/1":                iam.Allow,
		"ec2:DescribeX arn:B/1":                iam.ImplicitDeny,
		"s3:GetObject arn:b/secret":            iam.ExplicitDeny,
		"s3:GetObject arn:b/secrets":           iam.Allow,
		"ec2:RunInstances arn:volume/v":        iam.Allow,
		"ec2:RunInstances arn:instance/i":      iam.ImplicitDeny,
		"ec2:TerminateInstances arn:b/1":       iam.ImplicitDeny,
		"ec2:DescribeInstances arn:b/a/b\nc/d": iam.Allow,
	} {
		var r iam.Request
		_, err := fmt.Sscan(request, &r.Action, &r.Resource)
		require.NoError(t, err)
		require.Equal(t, want, iam.Decide(r, p), request)
	}
	session := parse(t, `{"Effect": "Allow", "Action": "ec2:DescribeX", "Resource": "*"}`)
	both := iam.Request{Action: "ec2:DescribeX", Resource: "arn:b/1"}
	require.Equal(t, iam.Allow, iam.InSession(both, session, p))
	require.Equal(t, iam.ImplicitDeny, iam.InSession(both, session), "a session adds nothing")
	both.Action = "ec2:DescribeY"
	require.Equal(t, iam.ImplicitDeny, iam.InSession(both, session, p))
}

// TestPrincipals: the root of an account is each principal in it, and a service is no account.
func TestPrincipals(t *testing.T) {
	t.Parallel()
	p := parse(t, `{"Effect": "Allow", "Action": "sts:AssumeRole",
		"Principal": {"AWS": "arn:aws:iam::111111111111:root", "Service": "ec2.amazonaws.com"}}`)
	for r, want := range map[iam.Decision][]iam.Request{
		iam.Allow:        {{Principal: "arn:aws:iam::111111111111:role/x"}, {Service: "ec2.amazonaws.com"}},
		iam.ImplicitDeny: {{Principal: "arn:aws:iam::222222222222:role/x"}, {Service: "ecs.amazonaws.com"}, {}},
	} {
		for _, one := range want {
			one.Action = "sts:AssumeRole"
			require.Equal(t, r, iam.Decide(one, p), "%+v", one)
		}
	}
}

// TestUnknownIsRefused: what the evaluation would pass over is an error.
func TestUnknownIsRefused(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{
		`{"Effect": "Allow", "Action": "a:b", "Resource": "*", "Condition": {"NumericLessThan": {"k": "1"}}}`,
		`{"Effect": "Allow", "Action": "a:b", "Resource": "*", "Conditions": {}}`,
		`{"Effect": "allow", "Action": "a:b", "Resource": "*"}`,
		`{"Effect": "Allow", "Resource": "*"}`,
		`{"Effect": "Allow", "Action": "a:b"}`,
		`{"Effect": "Allow", "Action": "a:b", "Resource": "*", "NotResource": "x"}`,
		`{"Effect": "Allow", "Action": "a:b", "Principal": {"Federated": "x"}}`,
	} {
		_, err := iam.Parse(`{"Version": "2012-10-17", "Statement": [` + statement + `]}`)
		require.Error(t, err, statement)
	}
}
