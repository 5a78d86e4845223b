package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"

	"github.com/gin-gonic/gin"
)

// csrfHeader is what a page of ours sends with each change. A form of another origin
// cannot send it, and a script of another origin is asked by the browser first.
const csrfHeader = "X-Spotkeeper-CSRF"

// Strict marks routes that deployed programs do not know. They refuse parameters and
// members that they do not read, because a misspelt name must not widen what a request
// acts on, and they take a change of a session only with csrfHeader.
func Strict(routes []Route) []Route {
	for i := range routes {
		routes[i].Strict = true
	}
	return routes
}

// checkStrict refuses what a strict route does not take. Fails with request.invalid and
// auth.foreign_origin.
func (r Route) checkStrict(c *gin.Context, p Principal, body []byte) error {
	if !r.Strict {
		return nil
	}
	if p.Session && c.Request.Method != http.MethodGet && c.GetHeader(csrfHeader) == "" {
		return ForeignOrigin.New("A session changes things with the header %s: send it with any value.", csrfHeader)
	}
	unknown := &problems{}
	known := map[string]reflect.Type{}
	collectNames(r.Endpoint.In, "form", known)
	for _, name := range slices.Sorted(maps.Keys(c.Request.URL.Query())) {
		if _, ok := known[name]; !ok {
			unknown.add(name, errUnknownField.Error())
		}
	}
	if c.Request.Method != http.MethodGet && r.Endpoint.raw == nil {
		unknown.unknownMembers(body, r.Endpoint.In, "")
	}
	if len(unknown.order) == 0 {
		return nil
	}
	return InvalidRequest.New("This route does not know %q: nothing was done.", unknown.order[0]).With("details",
		unknown.byField)
}

// unknownMembers adds the members of a JSON object that a type has no field for. What
// is not an object is for the decoder to refuse.
func (p *problems) unknownMembers(raw json.RawMessage, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice {
		var items []json.RawMessage
		if json.Unmarshal(raw, &items) == nil {
			for _, item := range items {
				p.unknownMembers(item, t.Elem(), path)
			}
		}
		return
	}
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		parsesItself(t) {
		return
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &members) != nil {
		return
	}
	known := map[string]reflect.Type{}
	collectNames(t, "json", known)
	for _, name := range slices.Sorted(maps.Keys(members)) {
		field, ok := known[name]
		if !ok {
			p.add(joinPath(path, name), errUnknownField.Error())
			continue
		}
		p.unknownMembers(members[name], field, joinPath(path, name))
	}
}

// parsesItself says that a domain reads the body.
func parsesItself(t reflect.Type) bool {
	_, own := reflect.New(t).Interface().(interface{ ParseBody([]byte) error })
	return own
}

// collectNames gathers the names that the fields of a struct have on the wire.
func collectNames(t reflect.Type, tag string, into map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get(tag)
		if tag == "json" {
			name = jsonName(f)
		}
		switch {
		case name != "":
			into[name] = f.Type
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			collectNames(f.Type, tag, into)
		}
	}
}
