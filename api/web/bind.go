package web

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"spotkeeper/internal/domain/plaintext"
)

// problems collects what is wrong with a request, by field.
type problems struct {
	byField map[string][]string
	order   []string
	// cleans says that characters that are not shown are replaced: a report of an agent is
	// not lost for one of them. Otherwise they are refused.
	cleans bool
}

// Forms of a text that its field names with the tag "text". Without one it is a line.
const (
	exactText = "exact" // a name that others compare: never replaced by another
	linesText = "lines" // line feeds and tabs belong to it
)

func (p *problems) add(field, sentence string) {
	if p.byField == nil {
		p.byField = map[string][]string{}
	}
	if _, known := p.byField[field]; !known {
		p.order = append(p.order, field)
	}
	if !slices.Contains(p.byField[field], sentence) {
		p.byField[field] = append(p.byField[field], sentence)
	}
}

// decode reads JSON into v. It differs from encoding/json in what deployed
// programs need: names are compared exactly, null means absent, every problem is
// found and named by its path, and text that Postgres cannot hold is refused. The form is
// that of the field's texts.
func (p *problems) decode(raw json.RawMessage, v reflect.Value, path, form string) {
	if string(raw) == "null" {
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		p.decode(raw, v.Elem(), path, form)
		return
	}
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		if strings.Contains(string(raw), `\u0000`) {
			p.add(path, errNUL.Error())
		}
		v.SetBytes(storable(raw))
		return
	}
	if u, ok := v.Addr().Interface().(json.Unmarshaler); ok {
		if err := u.UnmarshalJSON(raw); err != nil {
			p.add(path, err.Error())
		} else if s, ok := v.Addr().Interface().(*Text); ok {
			*s = Text(p.text(path, string(*s), form))
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		p.object(raw, v, path)
	case reflect.Slice:
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			p.add(path, errNotList.Error())
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
		for i, item := range items {
			p.decode(item, v.Index(i), joinPath(path, strconv.Itoa(i)), form)
		}
	case reflect.Map:
		var items map[string]json.RawMessage
		if json.Unmarshal(raw, &items) != nil {
			p.add(path, errNotObject.Error())
			return
		}
		v.Set(reflect.MakeMapWithSize(v.Type(), len(items)))
		for key, item := range items {
			elem := reflect.New(v.Type().Elem()).Elem()
			p.decode(item, elem, joinPath(path, key), form)
			v.SetMapIndex(reflect.ValueOf(p.text(path, key, form)), elem)
		}
	default:
		if json.Unmarshal(raw, v.Addr().Interface()) != nil {
			p.add(path, wrongType(v.Kind()))
		} else if v.Kind() == reflect.String {
			v.SetString(p.text(path, v.String(), form))
		}
	}
}

// object reads a JSON object into a struct by the struct's json tags.
func (p *problems) object(raw json.RawMessage, v reflect.Value, path string) {
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		if path == "" {
			p.add("_schema", "Invalid input type.")
		} else {
			p.add(path, errNotObject.Error())
		}
		return
	}
	p.members(members, v, path)
}

func (p *problems) members(members map[string]json.RawMessage, v reflect.Value, path string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := jsonName(f)
		switch {
		case f.Anonymous && name == "":
			p.members(members, v.Field(i), path)
		case name == "":
		default:
			raw, given := members[name]
			switch {
			case !given:
			case string(raw) == "null" && required(f):
				p.add(joinPath(path, name), errNull.Error())
			default:
				p.decode(raw, v.Field(i), joinPath(path, name), f.Tag.Get("text"))
			}
		}
	}
}

// values reads path parameters, the query or the header into the fields with
// the tag.
func (p *problems) values(v reflect.Value, tag string, get func(name string) []string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			p.values(v.Field(i), tag, get)
			continue
		}
		name := f.Tag.Get(tag)
		if name == "" {
			continue
		}
		given := get(name)
		if len(given) == 0 {
			continue
		}
		field := v.Field(i)
		if field.Kind() == reflect.Slice {
			for _, one := range given {
				elem := reflect.New(field.Type().Elem()).Elem()
				p.scalar(name, one, elem)
				field.Set(reflect.Append(field, elem))
			}
			continue
		}
		if field.Kind() == reflect.Pointer {
			if given[0] == "" {
				continue
			}
			field.Set(reflect.New(field.Type().Elem()))
			field = field.Elem()
		}
		p.scalar(name, given[0], field)
	}
}

func (p *problems) scalar(name, text string, v reflect.Value) {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			p.add(name, err.Error())
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(p.text(name, text, ""))
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			p.add(name, errNotInteger.Error())
		}
		v.SetInt(n)
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			p.add(name, errNotNumber.Error())
		}
		v.SetFloat(n)
	default:
		panic(fmt.Sprintf("rest: field %s has a type that no parameter can have", name))
	}
}

// text judges a text and returns the one to use. It refuses what a Postgres text cannot
// hold, and refuses or replaces what people would not see.
func (p *problems) text(path, s, form string) string {
	if !p.checkStorable(path, s) {
		return s
	}
	shown, line := plaintext.CleanLine(s), s
	if form == linesText {
		s = strings.ReplaceAll(s, "\r\n", "\n")
		shown, line = plaintext.CleanLines(s), strings.NewReplacer("\n", " ", "\t", " ").Replace(s)
	}
	if shown == s || p.cleans && form != exactText {
		return shown
	}
	hidden, _ := plaintext.FindHidden(line)
	p.add(path, fmt.Sprintf("Contains a character that is not shown (%U).", hidden))
	return s
}

func wrongType(k reflect.Kind) string {
	switch k {
	case reflect.Bool:
		return errNotBool.Error()
	case reflect.Int, reflect.Int32, reflect.Int64:
		return errNotInteger.Error()
	case reflect.Float64:
		return errNotNumber.Error()
	default:
		return errNotString.Error()
	}
}

// jsonName is the name of a body field, "" when the field is not in the body.
func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

func required(f reflect.StructField) bool {
	return slices.Contains(strings.Split(f.Tag.Get("binding"), ","), "required")
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
