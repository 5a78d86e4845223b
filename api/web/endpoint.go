package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-playground/validator/v10"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail before a handler is asked.
var (
	InvalidRequest = fault.Define("request.invalid", fault.Invalid)
	BodyTooLarge   = fault.Define("request.too_large", fault.TooLarge)
	NoRoute        = fault.Define("request.no_such_route", fault.NotFound)
	NoMethod       = fault.Define("request.method_not_allowed", fault.Invalid)
)

// Endpoint is a handler with the types it reads and writes.
type Endpoint struct {
	In, Out reflect.Type
	call    func(c *gin.Context, body []byte) (any, error)
	raw     gin.HandlerFunc
}

// NewEndpoint adapts a plain function. The fields of In say where they come from
// with uri, form (the query), header and json tags, and what they may be with
// binding tags; a field of the body has json:"-" in no other source. An answer
// that implements Statused chooses its own status.
func NewEndpoint[In, Out any](fn func(context.Context, *In) (*Out, error)) Endpoint {
	return Endpoint{
		In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
		call: func(c *gin.Context, body []byte) (any, error) {
			in := new(In)
			if err := bindRequest(c, body, in); err != nil {
				return nil, err
			}
			if err := bindInstance(PrincipalFrom(c.Request.Context()), reflect.ValueOf(in).Elem()); err != nil {
				return nil, err
			}
			out, err := fn(c.Request.Context(), in)
			if err != nil {
				return nil, err
			}
			if p, ok := any(in).(paged); ok {
				p.announce(c.Writer.Header(), c.Request.URL)
			}
			return out, nil
		},
	}
}

// NewStream is an endpoint that writes its own answer: metrics, events, files. Out
// is for the document; none says that it is not one JSON value. An error that it
// returns before it has written becomes an answer as usual. A stream has no
// deadline of ours, and its body is its own to read.
func NewStream[In, Out any](fn func(c *gin.Context, in *In) error) Endpoint {
	return Endpoint{
		In: reflect.TypeFor[In](), Out: reflect.TypeFor[Out](),
		raw: func(c *gin.Context) {
			in := new(In)
			err := bindRequest(c, nil, in)
			if err == nil {
				err = fn(c, in)
			}
			if err != nil {
				WriteError(c, err)
			}
		},
	}
}

// IsStream says whether the endpoint writes its own answer.
func (e Endpoint) IsStream() bool { return e.raw != nil }

// Statused is an answer with a status of its own.
type Statused interface{ Status() int }

// None is the In of an endpoint without parameters.
type None struct{}

// Table is the Out of a stream that is a table in CSV (RFC 4180), whose first row names the
// columns.
type Table struct{}

// Success is the Out of an endpoint that has nothing else to answer.
type Success struct {
	Success bool `json:"success"`
}

// Done is the answer of such an endpoint.
var Done = &Success{Success: true}

// OptionalBody is embedded in an In that accepts a request without a body.
type OptionalBody struct{}

func (OptionalBody) bodyOptional() {}

// LegacyValidation is embedded in an In that answers problems with the bare sentence
// "Validation failed" and the details, as the deployed pages show them.
type LegacyValidation struct{}

func (LegacyValidation) sentence(*problems) string { return "Validation failed" }

// bindRequest fills in from every source first and validates once at the end, because
// a required field may come from any of them. Fails with request.invalid, whose
// details name the fields.
func bindRequest(c *gin.Context, body []byte, in any) error {
	v, p := reflect.ValueOf(in).Elem(), &problems{cleans: c.GetBool(cleansKey)}
	if own, ok := in.(interface{ ParseBody([]byte) error }); ok { // a domain reads it
		if len(bytes.TrimSpace(body)) == 0 {
			return errNoBody()
		}
		if err := own.ParseBody(body); err != nil {
			return err
		}
	} else if hasBodyFields(v.Type()) {
		if err := bindBody(body, v, p); err != nil {
			return err
		}
	}
	p.values(v, "uri", func(name string) []string {
		if value, ok := c.Params.Get(name); ok {
			return []string{value}
		}
		return nil
	})
	query := c.Request.URL.Query()
	p.values(v, "form", func(name string) []string { return query[name] })
	p.values(v, "header", func(name string) []string { return c.Request.Header.Values(name) })
	if _, unreadable := p.byField["_schema"]; !unreadable {
		p.validate(in)
	}
	if len(p.order) == 0 {
		return nil
	}
	sentence := fmt.Sprintf("Validation failed: %s: %s", p.order[0], p.byField[p.order[0]][0])
	if s, ok := in.(interface{ sentence(*problems) string }); ok {
		sentence = s.sentence(p)
	}
	return InvalidRequest.New("%s", sentence).With("details", p.byField)
}

func bindBody(body []byte, v reflect.Value, p *problems) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		if _, ok := v.Interface().(interface{ bodyOptional() }); ok {
			return nil
		}
		return errNoBody()
	}
	if !json.Valid(body) {
		return InvalidRequest.New("The body is not valid JSON.")
	}
	if body[0] != '{' {
		p.add("_schema", "Invalid input type.")
		return nil
	}
	p.decode(body, v, "", "")
	return nil
}

func errNoBody() error { return InvalidRequest.New("The request needs a JSON object as its body.") }

// hasBodyFields says whether any field comes from the body.
func hasBodyFields(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if jsonName(f) != "" || f.Anonymous && f.Type.Kind() == reflect.Struct && hasBodyFields(f.Type) {
			return true
		}
	}
	return false
}

// embedded stands for an embedded struct in the path of a field: its members are those of the body.
const embedded = "~"

// rules validates binding tags and names fields as the wire does.
var rules = func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.SetTagName("binding")
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		for _, tag := range []string{"json", "uri", "form", "header"} {
			if name, _, _ := strings.Cut(f.Tag.Get(tag), ","); name != "" && name != "-" {
				return name
			}
		}
		if f.Anonymous {
			return embedded
		}
		return f.Name
	})
	return v
}()

func (p *problems) validate(in any) {
	err := rules.Struct(in)
	found, _ := err.(validator.ValidationErrors) //nolint:errorlint // the validator returns it unwrapped
	for _, f := range found {
		_, path, _ := strings.Cut(strings.ReplaceAll(f.Namespace(), embedded+".", ""), ".")
		path = strings.NewReplacer("[", ".", "]", "").Replace(path)
		if _, known := p.byField[path]; !known { // one problem with a field hides the ones that follow from it
			p.add(path, sentenceOf(f))
		}
	}
}

func sentenceOf(f validator.FieldError) string {
	text := f.Kind() == reflect.String
	switch f.Tag() {
	case "required":
		return "Missing data for required field."
	case "oneof":
		return "Must be one of: " + strings.ReplaceAll(f.Param(), " ", ", ") + "."
	case "max":
		if text {
			return "Longer than maximum length " + f.Param() + "."
		}
		if f.Kind() == reflect.Slice || f.Kind() == reflect.Map {
			return "More than " + f.Param() + " items."
		}
		return "Must be less than or equal to " + f.Param() + "."
	case "min":
		if text {
			return "Shorter than minimum length " + f.Param() + "."
		}
		return "Must be greater than or equal to " + f.Param() + "."
	default:
		return "Not valid (" + f.Tag() + " " + f.Param() + ")."
	}
}

// Page is the Out of an endpoint that answers with HTML.
type Page struct{}

// FormBody is embedded in an In whose body is a form.
type FormBody struct{}

func (FormBody) isForm() {}

// MessageAnswer is the Out of an endpoint that answers with a sentence for people.
type MessageAnswer struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
}
