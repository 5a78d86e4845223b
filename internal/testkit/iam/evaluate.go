package iam

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Request is one question to IAM: may this action be done to this resource? One call of
// an API is often several such questions: RunInstances is asked for the instance, the
// image, the network and so on.
type Request struct {
	Action   string // as ec2:TerminateInstances
	Resource string // an ARN, or * for calls that are about no resource
	// Context holds the condition keys, as aws:RequestTag/managed-by. A key that is not
	// here is absent from the request.
	Context map[string][]string
	// Principal and Service are who asks, for policies that name principals.
	Principal string
	Service   string
}

// Decision is the outcome of an evaluation.
type Decision int

// The decisions. An explicit denial holds against every allowance.
const (
	ImplicitDeny Decision = iota
	ExplicitDeny
	Allow
)

// String implements fmt.Stringer.
func (d Decision) String() string { return [...]string{"implicit deny", "explicit deny", "allow"}[d] }

// Decide evaluates the policies of one identity together.
func Decide(r Request, policies ...Policy) Decision {
	decision := ImplicitDeny
	for _, p := range policies {
		for _, s := range p.Statement {
			if !s.matches(r) {
				continue
			}
			if s.Effect == "Deny" {
				return ExplicitDeny
			}
			decision = Allow
		}
	}
	return decision
}

// InSession evaluates a request of an assumed role: its policies and the session's policy
// must both allow it.
func InSession(r Request, session Policy, role ...Policy) Decision {
	if d := Decide(r, role...); d != Allow {
		return d
	}
	return Decide(r, session)
}

func (s Statement) matches(r Request) bool {
	return s.matchesPrincipal(r) && s.matchesAction(r.Action) && s.matchesResource(r.Resource) && s.holds(r.Context)
}

// matchesPrincipal reads arn:aws:iam::<account>:root as every principal of that account.
func (s Statement) matchesPrincipal(r Request) bool {
	if s.Principal == nil {
		return true
	}
	if r.Service != "" {
		return slices.Contains(s.Principal.Service, r.Service)
	}
	return slices.ContainsFunc(s.Principal.AWS, func(p string) bool {
		account, whole := strings.CutSuffix(p, ":root")
		return p == "*" || p == r.Principal || whole && strings.HasPrefix(r.Principal, account+":")
	})
}

// matchesAction compares without regard to case, as IAM does.
func (s Statement) matchesAction(action string) bool {
	match := func(p string) bool { return like(strings.ToLower(p), strings.ToLower(action)) }
	if s.NotAction != nil {
		return !slices.ContainsFunc(s.NotAction, match)
	}
	return slices.ContainsFunc(s.Action, match)
}

func (s Statement) matchesResource(resource string) bool {
	match := func(p string) bool { return like(p, resource) }
	switch {
	case s.NotResource != nil:
		return !slices.ContainsFunc(s.NotResource, match)
	case s.Resource != nil:
		return slices.ContainsFunc(s.Resource, match)
	}
	return true // a trust policy is its role's
}

// holds evaluates the conditions: all operators and all their keys must hold.
func (s Statement) holds(context map[string][]string) bool {
	for name, keys := range s.Condition {
		o, err := readOperator(name)
		if err != nil {
			return false // Parse has refused it
		}
		for key, want := range keys {
			if !o.holds(want, lookUp(context, key)) {
				return false
			}
		}
	}
	return true
}

// lookUp finds a condition key without regard to case; nil when it is absent.
func lookUp(context map[string][]string, key string) []string {
	for have, values := range context {
		if strings.EqualFold(have, key) {
			if values == nil {
				return []string{}
			}
			return values
		}
	}
	return nil
}

// operator is a condition operator with its prefix and suffix.
type operator struct {
	name     string
	set      string // ForAllValues or ForAnyValue
	ifExists bool
}

func readOperator(text string) (operator, error) {
	var o operator
	rest := text
	if set, after, found := strings.Cut(rest, ":"); found {
		o.set, rest = set, after
	}
	o.name, o.ifExists = strings.CutSuffix(rest, "IfExists")
	known := []string{"StringEquals", "StringNotEquals", "StringLike", "StringNotLike", "ArnEquals", "ArnLike", "Bool", "Null"}
	if !slices.Contains(known, o.name) || !slices.Contains([]string{"", "ForAllValues", "ForAnyValue"}, o.set) {
		return o, fmt.Errorf("the condition operator %s is not known here", text)
	}
	return o, nil
}

// holds says whether the values of a key in a request meet the condition. have
// is nil when the key is absent.
func (o operator) holds(want, have []string) bool {
	negated := strings.Contains(o.name, "Not")
	switch {
	case o.name == "Null":
		return (have == nil) == (want[0] == "true")
	case have == nil && (o.ifExists || negated || o.set == "ForAllValues"):
		return true
	case have == nil:
		return false
	}
	one := func(v string) bool { return o.matchesAny(want, v) != negated }
	if o.set == "ForAllValues" {
		return !slices.ContainsFunc(have, func(v string) bool { return !one(v) })
	}
	return slices.ContainsFunc(have, one)
}

func (o operator) matchesAny(want []string, value string) bool {
	return slices.ContainsFunc(want, func(w string) bool {
		switch o.name {
		case "StringEquals", "StringNotEquals":
			return w == value
		case "Bool":
			return strings.EqualFold(w, value)
		default:
			return like(w, value)
		}
	})
}

// like matches * for any characters and ? for one.
func like(pattern, value string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, "(?s:.*)"), `\?`, "(?s:.)")
	matched, err := regexp.MatchString(`\A`+quoted+`\z`, value)
	return err == nil && matched
}
