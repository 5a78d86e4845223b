package web

import (
	_ "embed"
	"reflect"
	"regexp"
	"strings"
	"sync"
)

//go:embed vocabulary.txt
var vocabularyText string

// word is the meaning of a member's name throughout the API.
type word struct{ Doc, Example string }

// vocabulary reads the words of the API, by name in snake case.
var vocabulary = sync.OnceValue(func() map[string]word {
	words := map[string]word{}
	for line := range strings.Lines(vocabularyText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(strings.TrimSpace(line), "|", 3)
		if len(parts) == 3 {
			words[strings.TrimSpace(parts[0])] = word{strings.TrimSpace(parts[1]), strings.TrimSpace(parts[2])}
		}
	}
	return words
})

var capital = regexp.MustCompile(`[A-Z]`)

// meaningOf finds the meaning of a name in any case.
func meaningOf(name string) word {
	if !strings.Contains(name, "-") {
		name = capital.ReplaceAllString(name, "_$0")
	}
	return vocabulary()[strings.ToLower(name)]
}

// describeField adds to a schema what a field's own tags say, and what its name means
// everywhere where they say nothing. An example is added only to text and numbers.
func describeField(schema object, name string, f reflect.StructField) object {
	common := meaningOf(name)
	doc, example := f.Tag.Get("doc"), f.Tag.Get("example")
	if doc == "" {
		doc = common.Doc
	}
	if example == "" && f.Tag.Get("enum") == "" && schema["enum"] == nil && isScalar(schema) {
		example = common.Example
	}
	schema = addExample(addWords(schema, f), example)
	if doc == "" || schema["description"] != nil && f.Tag.Get("doc") == "" {
		return schema
	}
	schema = copySchema(schema)
	schema["description"] = doc
	return schema
}

// isScalar says whether values of the schema are text or numbers, without a format that
// an example might not have.
func isScalar(schema object) bool {
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]string); ok && len(kinds) > 0 {
		kind = kinds[0]
	}
	return (kind == "string" || kind == "number" || kind == "integer") && schema["format"] == nil
}
