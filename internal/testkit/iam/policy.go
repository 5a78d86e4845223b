// Package iam evaluates IAM policies in tests: the part of the language that our own
// policies use, and nothing beyond it. What it does not know fails when the policy is
// read, so that a condition is never passed over.
//
// The rules are those of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
// and https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html.
package iam

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Policy is a document with its statements.
type Policy struct {
	Version   string
	ID        string `json:"Id"`
	Statement []Statement
}

// Statement is one rule of a policy. Of each pair such as Action and NotAction one is
// given.
type Statement struct {
	Sid          string
	Effect       string
	Principal    *Principal
	Action       List
	NotAction    List
	Resource     List
	NotResource  List
	Condition    map[string]map[string]List
	NotPrincipal json.RawMessage
}

// Principal says whom a statement of a trust or a resource policy is about.
type Principal struct {
	AWS     List
	Service List
}

// List is one text or several.
type List []string

// UnmarshalJSON implements json.Unmarshaler.
func (l *List) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte("[")) {
		return json.Unmarshal(raw, (*[]string)(l))
	}
	var one any
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	*l = List{fmt.Sprint(one)}
	return nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Principal) UnmarshalJSON(raw []byte) error {
	if string(raw) == `"*"` {
		p.AWS = List{"*"}
		return nil
	}
	type plain Principal
	return strictly(raw, (*plain)(p))
}

// Parse reads a policy. It fails for a field, an effect or an operator that the
// evaluation does not know.
func Parse(document string) (Policy, error) {
	var p Policy
	if err := strictly([]byte(document), &p); err != nil {
		return p, fmt.Errorf("policy: %w", err)
	}
	if p.Version != "2012-10-17" {
		return p, fmt.Errorf("policy: version %q", p.Version)
	}
	for _, s := range p.Statement {
		if err := s.check(); err != nil {
			return p, fmt.Errorf("policy: statement %q: %w", s.Sid, err)
		}
	}
	return p, nil
}

func (s Statement) check() error {
	switch {
	case s.Effect != "Allow" && s.Effect != "Deny":
		return fmt.Errorf("effect %q", s.Effect)
	case (s.Action == nil) == (s.NotAction == nil):
		return fmt.Errorf("one of Action and NotAction")
	case s.Resource != nil && s.NotResource != nil:
		return fmt.Errorf("one of Resource and NotResource")
	case s.NotPrincipal != nil:
		return fmt.Errorf("NotPrincipal is not known here")
	case s.Resource == nil && s.NotResource == nil && s.Principal == nil:
		return fmt.Errorf("no resource")
	}
	for operator, keys := range s.Condition {
		if _, err := readOperator(operator); err != nil {
			return err
		}
		if len(keys) == 0 {
			return fmt.Errorf("%s has no key", operator)
		}
	}
	return nil
}

func strictly(raw []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// Actions lists the actions that the policy allows by name, each once, in order.
func (p Policy) Actions() []string {
	var out []string
	for _, s := range p.Statement {
		if s.Effect == "Allow" {
			out = append(out, s.Action...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
