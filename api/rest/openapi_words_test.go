package rest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
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
