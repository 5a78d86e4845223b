package iac

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Template is a CloudFormation template with its parameters given, so that its functions
// can be resolved. Only the functions that our templates use are known.
type Template struct {
	Parameters map[string]any
	Resources  map[string]Resource
	conditions map[string]any
}

// Resource is one of a template.
type Resource struct {
	Type       string
	Condition  string
	Properties map[string]any
}

// Cloud is where a stack is made.
type Cloud struct{ Account, Region string }

// noValue stands for AWS::NoValue until what it is in is built.
type noValue struct{}

// ReadTemplate reads a template in JSON or YAML, with the short forms of functions.
func ReadTemplate(path string, given map[string]any) (*Template, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(content, &node); err != nil {
		return nil, err
	}
	root, ok := plain(node.Content[0]).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%s is no template", path)
	}
	t := &Template{Parameters: map[string]any{}, Resources: map[string]Resource{}, conditions: map[string]any{}}
	for name, p := range root["Parameters"].(map[string]any) {
		value, listed := p.(map[string]any)["Default"], p.(map[string]any)["Type"] == "CommaDelimitedList"
		if v, is := given[name]; is {
			value = v
		}
		if text, isText := value.(string); isText && listed {
			var list []any
			for part := range strings.SplitSeq(text, ",") {
				list = append(list, part)
			}
			value = list
		}
		t.Parameters[name] = value
	}
	if conditions, has := root["Conditions"].(map[string]any); has {
		t.conditions = conditions
	}
	for name, r := range root["Resources"].(map[string]any) {
		fields := r.(map[string]any)
		condition, _ := fields["Condition"].(string)
		t.Resources[name] = Resource{fields["Type"].(string), condition, fields["Properties"].(map[string]any)}
	}
	return t, nil
}

// plain turns the short forms of functions into the long ones.
func plain(n *yaml.Node) any {
	var value any
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		value = m
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			list = append(list, plain(c))
		}
		value = list
	default:
		value = n.Value // numbers and booleans as text: CloudFormation takes both
	}
	name, short := strings.CutPrefix(n.Tag, "!")
	switch {
	case !short || strings.HasPrefix(n.Tag, "!!"):
		return value
	case name == "Ref":
		return map[string]any{"Ref": value}
	case name == "GetAtt":
		resource, attribute, _ := strings.Cut(n.Value, ".")
		return map[string]any{"Fn::GetAtt": []any{resource, attribute}}
	}
	return map[string]any{"Fn::" + name: value}
}

// Made lists the resources whose condition holds, with their properties resolved.
func (t *Template) Made(c Cloud) map[string]Resource {
	out := map[string]Resource{}
	for name, r := range t.Resources {
		if r.Condition != "" && !t.holds(c, t.conditions[r.Condition]) {
			continue
		}
		r.Properties = t.resolve(c, r.Properties).(map[string]any)
		out[name] = r
	}
	return out
}

func (t *Template) holds(c Cloud, condition any) bool {
	m := condition.(map[string]any)
	if not, is := m["Fn::Not"]; is {
		return !t.holds(c, not.([]any)[0])
	}
	pair := m["Fn::Equals"].([]any)
	return fmt.Sprint(t.resolve(c, pair[0])) == fmt.Sprint(t.resolve(c, pair[1]))
}

func (t *Template) resolve(c Cloud, v any) any {
	switch v := v.(type) {
	case []any:
		out := []any{}
		for _, one := range v {
			if r := t.resolve(c, one); r != (noValue{}) {
				out = append(out, r)
			}
		}
		return out
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if r, is := t.call(c, name, argument); is {
					return r
				}
			}
		}
		out := map[string]any{}
		for k, one := range v {
			if r := t.resolve(c, one); r != (noValue{}) {
				out[k] = r
			}
		}
		return out
	}
	return v
}

var substituted = regexp.MustCompile(`\$\{([\w:]+)(?:\.(\w+))?\}`)

func (t *Template) call(c Cloud, name string, argument any) (any, bool) {
	switch name {
	case "Ref":
		return t.ref(c, argument.(string)), true
	case "Fn::GetAtt":
		a := argument.([]any)
		return t.attribute(c, a[0].(string)), true
	case "Fn::If":
		a := argument.([]any)
		if t.holds(c, t.conditions[a[0].(string)]) {
			return t.resolve(c, a[1]), true
		}
		return t.resolve(c, a[2]), true
	case "Fn::Join":
		a := argument.([]any)
		var parts []string
		for _, p := range t.resolve(c, a[1]).([]any) {
			parts = append(parts, fmt.Sprint(p))
		}
		return strings.Join(parts, a[0].(string)), true
	case "Fn::Sub":
		return substituted.ReplaceAllStringFunc(argument.(string), func(found string) string {
			m := substituted.FindStringSubmatch(found)
			if m[2] != "" {
				return t.attribute(c, m[1])
			}
			return fmt.Sprint(t.ref(c, m[1]))
		}), true
	}
	return nil, false
}

func (t *Template) ref(c Cloud, name string) any {
	switch name {
	case "AWS::NoValue":
		return noValue{}
	case "AWS::AccountId":
		return c.Account
	case "AWS::Region":
		return c.Region
	case "AWS::Partition":
		return "aws"
	case "AWS::URLSuffix":
		return "amazonaws.com"
	}
	if p, is := t.Parameters[name]; is {
		return p
	}
	return t.physicalName(c, name)
}

// physicalName is what a resource is called in AWS.
func (t *Template) physicalName(c Cloud, logical string) string {
	r := t.Resources[logical]
	for _, key := range []string{"RoleName", "QueueName", "BucketName", "Name", "ManagedPolicyName",
		"InstanceProfileName", "PolicyName"} {
		if v, is := r.Properties[key]; is {
			return fmt.Sprint(t.resolve(c, v))
		}
	}
	return logical
}

// attribute is the ARN of a resource, which is all that our templates ask for.
func (t *Template) attribute(c Cloud, logical string) string {
	return ARN(c, t.Resources[logical].Type, t.physicalName(c, logical))
}

// ARN returns the ARN of a resource, from its type and name.
func ARN(c Cloud, kind, name string) string {
	switch kind {
	case "AWS::SQS::Queue", "aws_sqs_queue":
		return "arn:aws:sqs:" + c.Region + ":" + c.Account + ":" + name
	case "AWS::S3::Bucket", "aws_s3_bucket":
		return "arn:aws:s3:::" + name
	case "AWS::Events::Rule", "aws_cloudwatch_event_rule":
		return "arn:aws:events:" + c.Region + ":" + c.Account + ":rule/" + name
	case "AWS::IAM::Role", "aws_iam_role":
		return "arn:aws:iam::" + c.Account + ":role/" + name
	}
	return kind + "/" + name
}
