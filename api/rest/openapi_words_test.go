package rest_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"spotkeeper/api/rest"
	"spotkeeper/api/web"
)

// TestTheDocumentExplainsItself: each parameter is described, and so are nine of ten
// members. What an object of a schema of its own is, that schema says.
func TestTheDocumentExplainsItself(t *testing.T) {
	t.Parallel()

	doc, _ := loadDocument(t)
	for path, item := range doc.Paths.Map() {
		for method, operation := range item.Operations() {
			for _, p := range operation.Parameters {
				require.NotEmpty(t, p.Value.Description, "%s %s: parameter %s", method, path, p.Value.Name)
			}
		}
	}
	members, bare := 0, []string{}
	for name, schema := range doc.Components.Schemas {
		for member, property := range schema.Value.Properties {
			if property.Ref != "" {
				continue
			}
			members++
			if property.Value.Description == "" {
				bare = append(bare, name+"."+member)
			}
		}
	}
	require.Less(t, 10*len(bare), members, "members without a description: %v", bare)
}

// ownSchemas lists the schemas that routes beside those of the recorded contract take or answer with.
func ownSchemas(t *testing.T) map[string]*openapi3.Schema {
	t.Helper()
	doc, raw := loadDocument(t)
	var document struct {
		Paths      map[string]map[string]json.RawMessage `json:"paths"`
		Components struct {
			Schemas map[string]json.RawMessage `json:"schemas"`
		} `json:"components"`
	}
	require.NoError(t, json.Unmarshal(raw, &document))
	reference := regexp.MustCompile(`"#/components/schemas/(\w+)"`)
	found := map[string]*openapi3.Schema{}
	var follow func(part []byte)
	follow = func(part []byte) {
		for _, m := range reference.FindAllSubmatch(part, -1) {
			name := string(m[1])
			if found[name] == nil {
				found[name] = doc.Components.Schemas[name].Value
				follow(document.Components.Schemas[name])
			}
		}
	}
	for _, r := range (rest.Deps{}).Routes() {
		if !r.IsLegacy() {
			follow(document.Paths[web.DocumentPath(r)][strings.ToLower(r.Method)])
		}
	}
	require.Greater(t, len(found), 100)
	return found
}

// eachOwnMember walks the members of ownSchemas.
func eachOwnMember(t *testing.T, visit func(name string, ref *openapi3.SchemaRef)) {
	t.Helper()
	for name, schema := range ownSchemas(t) {
		for member, property := range schema.Properties {
			visit(name+"."+member, property)
		}
	}
}

// TestEachMemberOfOurRoutesIsDescribed: with a description, and each text and number that has
// neither a format nor a list of its words with an example.
func TestEachMemberOfOurRoutesIsDescribed(t *testing.T) {
	t.Parallel()

	bare, withoutExample, members := []string{}, []string{}, 0
	eachOwnMember(t, func(name string, ref *openapi3.SchemaRef) {
		members++
		if ref.Ref == "" && ref.Value.Description == "" {
			bare = append(bare, name)
		}
		if isText(ref) || isNumber(ref) {
			if ref.Value.Format == "" && len(ref.Value.Enum) == 0 && len(ref.Value.Examples) == 0 {
				withoutExample = append(withoutExample, name)
			}
		}
	})
	slices.Sort(bare)
	slices.Sort(withoutExample)
	require.Empty(t, bare, "describe them in api/web/vocabulary.txt or by a doc tag")
	require.Empty(t, withoutExample, "give them an example in api/web/vocabulary.txt or by an example tag")
	require.Greater(t, members, 900)
}

func isText(ref *openapi3.SchemaRef) bool { return ref.Ref == "" && ref.Value.Type.Includes("string") }

func isNumber(ref *openapi3.SchemaRef) bool {
	return ref.Ref == "" && (ref.Value.Type.Includes("number") || ref.Value.Type.Includes("integer"))
}

// TestEachExampleIsOne: an example is a value of its own schema.
func TestEachExampleIsOne(t *testing.T) {
	t.Parallel()

	examples := 0
	eachOwnMember(t, func(name string, ref *openapi3.SchemaRef) {
		for _, example := range ref.Value.Examples {
			examples++
			raw, err := json.Marshal(example)
			require.NoError(t, err)
			var value any
			require.NoError(t, json.Unmarshal(raw, &value))
			require.NoError(t, ref.Value.VisitJSON(value, openapi3.EnableJSONSchema2020()), "%s: %s", name, raw)
		}
	})
	require.Greater(t, examples, 500)
}

// open are words of a state that grow with the product: a client must expect one that it does not know.
var open = []string{"madeDecision.outcome", "publicReadyAnswer.status", "stateReplica.status"}

// TestEachStateListsItsWords: a member that holds one of a few words names them all.
func TestEachStateListsItsWords(t *testing.T) {
	t.Parallel()

	states := []string{
		"state", "kind", "mode", "severity", "min_severity", "result", "status", "scope", "door", "keeping", "launcher",
		"proof", "via", "source", "worth", "action", "outcome", "role", "path", "legacy_token",
	}
	listed := 0
	eachOwnMember(t, func(name string, ref *openapi3.SchemaRef) {
		_, member, _ := strings.Cut(name, ".")
		if !slices.Contains(states, member) || !isText(ref) || slices.Contains(open, name) {
			return
		}
		require.NotEmpty(t, ref.Value.Enum, "%s: list its words in api/web/vocabulary.txt or by an enum tag", name)
		listed++
	})
	require.Greater(t, listed, 60)
}

// TestListsOfOurRoutesHaveOneShape: a list is a member of an object, never the whole answer, and the
// next page is named by next beside it.
func TestListsOfOurRoutesHaveOneShape(t *testing.T) {
	t.Parallel()

	doc, _ := loadDocument(t)
	lists := 0
	for _, r := range (rest.Deps{}).Routes() {
		if r.IsLegacy() {
			continue
		}
		operation := doc.Paths.Value(web.DocumentPath(r)).GetOperation(r.Method)
		for status, answer := range operation.Responses.Map() {
			media := answer.Value.Content.Get("application/json")
			if media == nil || status == "default" {
				continue
			}
			require.False(t, media.Schema.Value.Type.Is("array"), "%s answers a bare list", r.ID)
			require.Empty(t, answer.Value.Headers, "%s has a cursor in a header", r.ID)
			if r.Method != http.MethodGet {
				continue
			}
			arrays := 0
			for _, property := range media.Schema.Value.Properties {
				if property.Value.Type.Is("array") {
					arrays++
				}
			}
			if operation.Parameters.GetByInAndName("query", "after") != nil ||
				operation.Parameters.GetByInAndName("query", "before") != nil {
				require.NotNil(t, media.Schema.Value.Properties["next"], r.ID)
				require.Equal(t, 1, arrays, r.ID)
				lists++
			}
		}
	}
	require.GreaterOrEqual(t, lists, 4)
}

// TestNamesOfOurRoutesHaveOneCase: members and parameters are in snake case.
func TestNamesOfOurRoutesHaveOneCase(t *testing.T) {
	t.Parallel()

	snake := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	eachOwnMember(t, func(name string, _ *openapi3.SchemaRef) {
		_, member, _ := strings.Cut(name, ".")
		require.Regexp(t, snake, member, name)
	})
}

// TestTheDocumentHasAVersion that says which changes break a client.
func TestTheDocumentHasAVersion(t *testing.T) {
	t.Parallel()

	doc, _ := loadDocument(t)
	require.Regexp(t, `^\d+\.\d+\.\d+$`, doc.Info.Version)
	require.NotEmpty(t, doc.Servers)
}

// silent are routes of ours whose refusals are those that any route may answer with.
var silent = []string{
	"login", "logout", "showQuestion", "answerQuestion", // a page says what was wrong
	"getDocsFile",
}

// TestEachRouteOfOursNamesItsRefusals: one that changes something, or is about a thing that may not
// exist, has codes beside those of every route.
func TestEachRouteOfOursNamesItsRefusals(t *testing.T) {
	t.Parallel()

	bare := []string{}
	for _, r := range (rest.Deps{}).Routes() {
		about := r.Method != http.MethodGet || strings.Contains(r.Path, ":")
		if about && !r.IsLegacy() && len(r.Refuses()) == 0 && !slices.Contains(silent, r.ID) {
			bare = append(bare, r.ID)
		}
	}
	require.Empty(t, bare, "a test that expects a refusal of the route notes its code: go test ./api/rest -update")
}
