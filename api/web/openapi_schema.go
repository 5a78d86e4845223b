package web

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// schemas makes JSON schemas of Go types. Named structs become components; what
// an answer may leave out and what a request must have differ, so the same type
// is never used for both.
type schemas struct{ components object }

// Generators of clients take one type for each value, and null beside it. So where
// deployed programs may send several forms, the document names the one that new
// programs are to send.

// special are the types whose JSON is not what their Go kind says.
var special = map[reflect.Type]struct{ in, out object }{
	reflect.TypeFor[Bool](): {object{
		"type":        "boolean",
		"description": "1 and 0 are taken as well",
	}, object{"type": "boolean"}},
	reflect.TypeFor[Time](): {object{
		"type":        "string",
		"description": "RFC 3339, with or without zone and fraction",
	}, object{"type": "string", "format": "date-time"}},
	reflect.TypeFor[ExactTime](): {object{"type": "string", "format": "date-time"},
		object{"type": "string", "format": "date-time"}},
	reflect.TypeFor[NoticeTime](): {object{
		"type":        "string",
		"description": "RFC 3339, with or without zone and fraction; Unix seconds are taken as well, and what cannot be read counts as not given",
	},
		object{"type": "string", "format": "date-time"}},
	reflect.TypeFor[NoticeAction](): {object{
		"type":        "string",
		"description": "terminate, stop or hibernate, as the metadata service says; what cannot be read counts as not given",
	}, object{"type": "string"}},
	reflect.TypeFor[Text](): {object{
		"type":        "string",
		"description": "a number is taken as well",
	}, object{"type": "string"}},
	reflect.TypeFor[json.RawMessage](): {anything(), anything()},
	reflect.TypeFor[Cursor]():          {object{"type": "string"}, object{"type": "string"}},
	reflect.TypeFor[Moment](): {object{"type": "string", "examples": []any{"2026-11-30", "2026-11-30T08:00:00Z"}},
		object{"type": "string", "format": "date-time"}},
}

// anything is any JSON value, null included. It names no type: generators of clients
// take a list of types for something that they cannot write.
func anything() object { return object{} }

// of is the schema of a type, of an answer or of a request's body.
func (s *schemas) of(t reflect.Type, answer bool) object {
	if w, ok := reflect.New(t).Interface().(interface{ document() reflect.Type }); ok {
		t = w.document()
	}
	if known, ok := special[t]; ok {
		if answer {
			return copySchema(known.out)
		}
		return copySchema(known.in)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(s.of(t.Elem(), answer))
	case reflect.Struct:
		if t.Name() == "" {
			return s.object(t, answer)
		}
		if _, made := s.components[t.Name()]; !made {
			s.components[t.Name()] = object{} // a type may contain itself
			s.components[t.Name()] = s.object(t, answer)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": s.of(t.Elem(), answer)}
	case reflect.Map:
		var values any = s.of(t.Elem(), answer)
		if schema, ok := values.(object); ok && len(schema) == 0 {
			values = true // any value
		}
		return object{"type": "object", "additionalProperties": values}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return anything()
	default:
		return object{"type": "integer"}
	}
}

// nullable allows null beside what the schema says.
func nullable(schema object) object {
	switch kind := schema["type"].(type) {
	case string:
		schema["type"] = []string{kind, "null"}
		return schema
	case []string:
		if !slices.Contains(kind, "null") {
			schema["type"] = append(slices.Clone(kind), "null")
		}
		return schema
	}
	if _, named := schema["$ref"]; !named {
		return schema // any value, which null is too
	}
	return object{"anyOf": []object{schema, {"type": "null"}}}
}

// object is the schema of a struct's fields in JSON, those of embedded structs
// included.
func (s *schemas) object(t reflect.Type, answer bool) object {
	properties, needed := object{}, []string{}
	s.fields(t, answer, properties, &needed)
	out := object{"type": "object", "properties": properties}
	if len(needed) > 0 {
		out["required"] = needed
	}
	return out
}

// undocumented, as the doc tag of a field, leaves out of the document a second spelling
// that deployed programs send: clients that are generated would have one name twice.
const undocumented = "-"

func (s *schemas) fields(t reflect.Type, answer bool, properties object, needed *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := jsonName(f)
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct && special[f.Type].out == nil {
			s.fields(f.Type, answer, properties, needed)
			continue
		}
		if name == "" || f.Tag.Get("doc") == undocumented {
			continue
		}
		schema := s.of(f.Type, answer)
		if !answer {
			schema = addBounds(nullableUnlessRequired(schema, f), f)
		}
		properties[name] = describeField(schema, t, name, f)
		if answer && !strings.Contains(f.Tag.Get("json"), ",omitempty") || !answer && required(f) {
			*needed = append(*needed, name)
		}
	}
}

// nullableUnlessRequired: null means absent in every request.
func nullableUnlessRequired(schema object, f reflect.StructField) object {
	if required(f) || f.Type.Kind() == reflect.Pointer {
		return schema
	}
	return nullable(copySchema(schema))
}

// body is the schema of the fields that come from the body.
func (s *schemas) body(t reflect.Type) object { return s.of(t, false) }

// parameters are the fields that come from the path, the query and the header.
func (s *schemas) parameters(r Route) []object {
	var out []object
	seen := map[string]bool{}
	s.collect(r.Endpoint.In, func(where string, name string, f reflect.StructField) {
		t := f.Type
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if where == "path" && !strings.Contains(r.Path, name) ||
			name == "Authorization" { // the document names the scheme instead
			return
		}
		seen[name] = true
		p := object{
			"name":     name,
			"in":       where,
			"schema":   addBounds(copySchema(s.of(t, false)), f),
			"required": where == "path" || required(f),
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			p["description"] = doc
		} else if common := meaningOf(name); common.Doc != "" {
			p["description"] = common.Doc
		}
		out = append(out, p)
	})
	for _, m := range parameter.FindAllStringSubmatch(r.Path, -1) {
		if !seen[m[1]] { // a route that only scopes by it
			p := object{"name": m[1], "in": "path", "required": true, "schema": object{"type": "string"}}
			if common := meaningOf(m[1]); common.Doc != "" {
				p["description"] = common.Doc
			}
			out = append(out, p)
		}
	}
	return out
}

func (s *schemas) collect(t reflect.Type, each func(where, name string, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			s.collect(f.Type, each)
			continue
		}
		for tag, where := range map[string]string{"uri": "path", "form": "query", "header": "header"} {
			if name := f.Tag.Get(tag); name != "" {
				each(where, name, f)
			}
		}
	}
}

// addBounds adds what the binding tag asks for.
func addBounds(schema object, f reflect.StructField) object {
	before, _, _ := strings.Cut(f.Tag.Get("binding"), ",dive")
	kind := f.Type.Kind()
	if kind == reflect.Pointer {
		kind = f.Type.Elem().Kind()
	}
	for rule := range strings.SplitSeq(before, ",") {
		name, value, _ := strings.Cut(rule, "=")
		n, err := strconv.ParseFloat(value, 64)
		switch {
		case name == "oneof":
			schema["enum"] = enumValues(schema, value)
		case err != nil || name != "max" && name != "min":
		case kind == reflect.String:
			schema[name+"Length"] = n
		case kind == reflect.Slice:
			schema[name+"Items"] = n
		case kind == reflect.Map:
			schema[name+"Properties"] = n
		default:
			schema[name+"imum"] = n
		}
	}
	return schema
}

func enumValues(schema object, words string) []any {
	var out []any
	for word := range strings.FieldsSeq(words) {
		out = append(out, strings.Trim(word, `"`)) // "" is the empty text
	}
	if kinds, ok := schema["type"].([]string); ok && kinds[len(kinds)-1] == "null" {
		out = append(out, nil)
	}
	return out
}

// addWords adds the words that a field may hold.
func addWords(schema object, f reflect.StructField) object {
	words := f.Tag.Get("enum")
	if words == "" {
		return schema
	}
	schema = copySchema(schema)
	schema["enum"] = enumValues(schema, words)
	return schema
}

// addExample adds an example of the value.
func addExample(schema object, example string) object {
	if example == "" {
		return schema
	}
	schema = copySchema(schema)
	schema["examples"] = []any{exampleValue(schema, example)}
	return schema
}

// exampleValue is the example as the type of its schema writes it.
func exampleValue(schema object, text string) any {
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]string); ok {
		kind = kinds[0]
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && (kind == "number" || kind == "integer") {
		return n
	}
	return text
}

func copySchema(schema object) object {
	out := make(object, len(schema)+1)
	for k, v := range schema {
		out[k] = v
	}
	return out
}
