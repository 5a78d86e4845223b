package iac

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those of Terraform that resources of our modules use.
var functions = map[string]function.Function{
	"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "join": stdlib.JoinFunc,
	"jsonencode": stdlib.JSONEncodeFunc, "length": stdlib.LengthFunc, "merge": stdlib.MergeFunc,
	"trimprefix": stdlib.TrimPrefixFunc,
}

// EvaluateModule evaluates the resources of a Terraform module without a provider: by
// "type.name" the values of what each has, those of nested blocks with their path. Resources
// whose count is 0 are left out.
func EvaluateModule(dir string, given map[string]cty.Value, c Cloud) (map[string]map[string]cty.Value, error) {
	blocks, err := readBlocks(dir)
	if err != nil {
		return nil, err
	}
	e := evaluation{cloud: c, variables: map[string]cty.Value{}, locals: map[string]cty.Value{},
		known: map[string]map[string]cty.Value{}}
	for _, b := range blocks["variable"] {
		name := b.Labels[0]
		if v, is := given[name]; is {
			e.variables[name] = v
		} else if d, has := b.Body.Attributes["default"]; has {
			v, err := defaultOf(b.Body.Attributes["type"].Expr, d.Expr)
			if err != nil {
				return nil, err
			}
			e.variables[name] = v
		} else {
			return nil, fmt.Errorf("%s: the variable %s is missing", dir, name)
		}
	}
	if err := e.evaluateLocals(blocks["locals"]); err != nil {
		return nil, err
	}
	e.nameResources(blocks["resource"])
	out := map[string]map[string]cty.Value{}
	for _, b := range blocks["resource"] {
		values := map[string]cty.Value{}
		if err := e.evaluateBody(b.Body, "", values); err != nil {
			return nil, err
		}
		if n, counted := values["count"]; counted && n.RawEquals(cty.NumberIntVal(0)) {
			continue
		}
		out[b.Labels[0]+"."+b.Labels[1]] = values
	}
	return out, nil
}

// defaultOf is the default of a variable as a value of its type.
func defaultOf(of, expression hcl.Expression) (cty.Value, error) {
	kind, problems := typeexpr.TypeConstraint(of)
	if problems.HasErrors() {
		return cty.NilVal, problems
	}
	v, problems := expression.Value(nil)
	if problems.HasErrors() {
		return cty.NilVal, problems
	}
	return convert.Convert(v, kind)
}

func readBlocks(dir string) (map[string][]*hclsyntax.Block, error) {
	files, err := filepath.Glob(dir + "/*.tf")
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s has no files: %w", dir, err)
	}
	parser, out := hclparse.NewParser(), map[string][]*hclsyntax.Block{}
	for _, file := range files {
		parsed, problems := parser.ParseHCLFile(file)
		if problems.HasErrors() {
			return nil, problems
		}
		for _, b := range parsed.Body.(*hclsyntax.Body).Blocks {
			out[b.Type] = append(out[b.Type], b)
		}
	}
	return out, nil
}

type evaluation struct {
	cloud             Cloud
	variables, locals map[string]cty.Value
	known             map[string]map[string]cty.Value // by type and name
}

func (e *evaluation) context() *hcl.EvalContext {
	with := map[string]cty.Value{
		"var": cty.ObjectVal(e.variables), "local": cty.ObjectVal(e.locals),
		"data": cty.ObjectVal(map[string]cty.Value{
			"aws_caller_identity": current(map[string]string{"account_id": e.cloud.Account}),
			"aws_partition":       current(map[string]string{"partition": "aws", "dns_suffix": "amazonaws.com"}),
			"aws_region":          current(map[string]string{"region": e.cloud.Region}),
		}),
	}
	for kind, resources := range e.known {
		with[kind] = cty.ObjectVal(resources)
	}
	return &hcl.EvalContext{Variables: with, Functions: functions}
}

func current(attributes map[string]string) cty.Value {
	values := map[string]cty.Value{}
	for k, v := range attributes {
		values[k] = cty.StringVal(v)
	}
	return cty.ObjectVal(map[string]cty.Value{"current": cty.ObjectVal(values)})
}

// evaluateLocals goes over the locals until each is known: they name each other.
func (e *evaluation) evaluateLocals(blocks []*hclsyntax.Block) error {
	left := map[string]*hclsyntax.Attribute{}
	for _, b := range blocks {
		maps.Copy(left, b.Body.Attributes)
	}
	for len(left) > 0 {
		before := len(left)
		var last error
		for _, name := range slices.Sorted(maps.Keys(left)) {
			v, problems := left[name].Expr.Value(e.context())
			if problems.HasErrors() {
				last = problems
				continue
			}
			e.locals[name] = v
			delete(left, name)
		}
		if len(left) == before {
			return last
		}
	}
	return nil
}

// nameResources finds what other resources ask of each: its name and what follows from it.
func (e *evaluation) nameResources(blocks []*hclsyntax.Block) {
	context := e.context()
	for _, b := range blocks {
		kind, name := b.Labels[0], ""
		for _, key := range []string{"name", "bucket"} {
			if a, has := b.Body.Attributes[key]; has {
				if v, problems := a.Expr.Value(context); !problems.HasErrors() {
					name = v.AsString()
				}
			}
		}
		if e.known[kind] == nil {
			e.known[kind] = map[string]cty.Value{}
		}
		e.known[kind][b.Labels[1]] = cty.ObjectVal(map[string]cty.Value{
			"name": cty.StringVal(name), "id": cty.StringVal(name), "arn": cty.StringVal(ARN(e.cloud, kind, name)),
			"url": cty.StringVal("https://sqs." + e.cloud.Region + ".amazonaws.com/" + e.cloud.Account + "/" + name),
		})
	}
}

func (e *evaluation) evaluateBody(body *hclsyntax.Body, prefix string, into map[string]cty.Value) error {
	for name, a := range body.Attributes {
		v, problems := a.Expr.Value(e.context())
		if problems.HasErrors() {
			return problems
		}
		into[prefix+name] = v
	}
	for _, b := range body.Blocks {
		if b.Type == "lifecycle" || b.Type == "dynamic" {
			continue
		}
		if err := e.evaluateBody(b.Body, strings.Join([]string{prefix + b.Type, ""}, "."), into); err != nil {
			return err
		}
	}
	return nil
}
