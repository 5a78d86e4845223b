package web

import (
	"cmp"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
)

// DocumentVersion is the version of the API. Its first number changes with a route or a member that is
// taken away or means something else, the second with one that is added.
const DocumentVersion = "1.1.0"

// object is a JSON object of the document; its keys come out sorted.
type object = map[string]any

// Document writes the OpenAPI 3.1 document of the routes. It is made from the
// rows and the types of their endpoints alone, so it cannot say anything that the
// server does not do.
func Document(routes []Route) ([]byte, error) {
	s := &schemas{components: object{}}
	paths := object{}
	for _, r := range routes {
		path := DocumentPath(r)
		item, known := paths[path].(object)
		if !known {
			item = object{}
			paths[path] = item
		}
		item[strings.ToLower(r.Method)] = s.operation(r)
	}
	s.components["Error"] = object{
		"type":        "object",
		"required":    []string{"error", "code"},
		"description": "Every answer from 400 on. Some codes have members of their own beside these.",
		"properties": object{
			"error": object{"type": "string", "description": "One sentence for people.", "examples": []string{"There is no such pool."}},
			"code": object{
				"type":        "string",
				"description": "What went wrong, as <domain>.<reason>. It does not change; the sentence may.",
				"examples":    []string{"pool.not_found"},
			},
			"details": object{
				"type":                 "object",
				"description":          "What is wrong with each field.",
				"additionalProperties": object{"type": "array", "items": object{"type": "string"}},
			},
		},
	}
	return json.MarshalIndent(object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Spotkeeper", "version": DocumentVersion,
			"description": "The control plane of EC2 spot fleets. Times are RFC 3339 in UTC, money is USD. A route never redirects. " +
				"Any route may answer with " + commonCodes() + ". Routes with x-legacy keep to an older contract; " +
				"the others write names in snake case and a list as a member of an object.",
		},
		"servers": []object{{"url": "/", "description": "The process that serves this document."}},
		"paths":   paths,
		"components": object{
			"schemas": s.components,
			"securitySchemes": object{
				"clientToken": object{
					"type":        "http",
					"scheme":      "bearer",
					"description": "A tenant's token: a named one with a scope, or the one from before.",
				},
				"agentToken": object{
					"type":        "http",
					"scheme":      "bearer",
					"description": "An agent's own token, good for the reports of that agent from its instance.",
				},
				"enrolmentToken": object{
					"type":        "http",
					"scheme":      "bearer",
					"description": "A token that an agent joins with.",
				},
				"operatorToken": object{
					"type":        "http",
					"scheme":      "bearer",
					"description": "An operator's token. What an operator may do is said by a role: x-least-role is the least one.",
				},
				"session": object{
					"type":        "apiKey",
					"in":          "cookie",
					"name":        cookieName,
					"description": "A session of an operator or a tenant, from /login. Writes must come from a page of the same origin.",
				},
			},
		},
	}, "", "  ")
}

var parameter = regexp.MustCompile(`[:*](\w+)`)

// DocumentPath is a route's path as the document writes it.
func DocumentPath(r Route) string {
	return parameter.ReplaceAllString(cmp.Or(r.DocPath, r.Path), "{$1}")
}

// security lists who may call the route.
func (r Route) security() []object {
	by := func(scheme string) object { return object{scheme: []string{}} }
	out := []object{}
	switch r.Auth {
	case Anonymous:
	case Joining:
		out = append(out, by("enrolmentToken"))
	case Agent:
		out = append(out, by("clientToken"))
	case Client:
		out = append(out, by("clientToken"), by("operatorToken"), by("session"))
	case Admin:
		out = append(out, by("operatorToken"), by("session"))
	}
	if r.Own {
		out = append(out, by("agentToken"))
	}
	return out
}

func (s *schemas) operation(r Route) object {
	op := object{
		"operationId": r.ID, "summary": r.Summary, "description": r.about(), "security": r.security(), "tags": []string{documentTag(r.Path)},
		"responses": object{
			strconv.Itoa(r.Status): object{"description": http.StatusText(r.Status), "content": s.answer(r)},
			"default":              r.refusals(),
		},
	}
	if r.Unavailable != nil {
		op["responses"].(object)["503"] = object{
			"description": "Not now. Every 503 has the members of Error; with the codes of this route, these as well.",
			"content":     object{"application/json": object{"schema": s.of(r.Unavailable, true)}},
		}
	}
	if reflect.PointerTo(r.Endpoint.In).Implements(reflect.TypeFor[paged]()) {
		op["responses"].(object)[strconv.Itoa(r.Status)].(object)["headers"] = object{
			nextHeader: object{
				"schema":      object{"type": "string"},
				"description": "Where the next page begins, for after. Absent on the last page.",
			},
			linkHeader: object{
				"schema":      object{"type": "string"},
				"description": "The address of the next page, rel=next (RFC 8288).",
			},
		}
	}
	if r.Endpoint.Out == reflect.TypeFor[Page]() { // a page says on itself what was wrong
		op["responses"].(object)["default"].(object)["content"].(object)["text/html"] = object{
			"schema": object{"type": "string"},
		}
	}
	if params := s.parameters(r); len(params) > 0 {
		op["parameters"] = params
	}
	if r.IsLegacy() {
		op["x-legacy"] = true
	}
	if role := r.LeastRole(); role != "" {
		op["x-least-role"] = role // of an operator
	}
	in := reflect.New(r.Endpoint.In).Interface()
	_, own := in.(interface{ ParseBody([]byte) error })
	if r.Method != http.MethodGet && (own || hasBodyFields(r.Endpoint.In)) {
		schema := object{"type": "object"}
		if !own {
			schema = s.body(r.Endpoint.In)
		}
		_, optional := in.(interface{ bodyOptional() })
		media := "application/json"
		if _, form := in.(interface{ isForm() }); form {
			media = "application/x-www-form-urlencoded"
		}
		op["requestBody"] = object{"required": !optional, "content": object{media: object{"schema": schema}}}
	}
	return op
}

// answer is the content of a success.
func (s *schemas) answer(r Route) object {
	out := r.Endpoint.Out
	switch {
	case out == reflect.TypeFor[Page]():
		return object{"text/html": object{"schema": object{"type": "string"}}}
	case out == reflect.TypeFor[Table]():
		return object{"text/csv": object{"schema": object{"type": "string"}}}
	case out == nil || out == reflect.TypeFor[None]():
		return object{"text/plain": object{"schema": object{"type": "string"}}}
	case r.MediaType == EventStream:
		s.of(out, true)
		return object{EventStream: object{"schema": object{
			"type":        "string",
			"description": "Server-sent events; the data of each is an eventAnswer.",
		}}}
	default:
		return object{"application/json": object{"schema": s.of(out, true)}}
	}
}

// documentTag groups routes by whom they serve.
func documentTag(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/api/"), "/")
	switch {
	case !strings.HasPrefix(path, "/api/"):
		return "service"
	case parts[0] == "client" && len(parts) > 1 && strings.HasPrefix(parts[1], ":"):
		return "clients"
	case parts[0] == "client":
		return parts[1]
	default:
		return parts[0]
	}
}
