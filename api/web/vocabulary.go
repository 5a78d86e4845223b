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

// word is the meaning of a member's name throughout the API, or in one type. Enum has the words
// that the member may hold, separated by spaces.
type word struct{ Doc, Example, Enum string }

// vocabulary reads the words of the API, by name in snake case.
var vocabulary = sync.OnceValue(func() map[string]word {
	words := map[string]word{}
	for line := range strings.Lines(vocabularyText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(strings.TrimSpace(line), "|", 4)
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		switch len(parts) {
		case 3:
			words[parts[0]] = word{Doc: parts[1], Example: parts[2]}
		case 4:
			words[parts[0]] = word{Doc: parts[1], Example: parts[2], Enum: parts[3]}
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

// meaningIn finds the meaning of a member of a type: its own, or that of its name everywhere.
func meaningIn(t reflect.Type, name string) word {
	if own, ok := vocabulary()[t.Name()+"."+name]; ok {
		return own
	}
	return meaningOf(name)
}

// describeField adds to a schema of a member of a type what the field's own tags say, and what its
// name means where they say nothing. An example is added only to text and numbers.
func describeField(schema object, t reflect.Type, name string, f reflect.StructField) object {
	common := meaningIn(t, name)
	if common.Enum != "" && schema["enum"] == nil && f.Tag.Get("enum") == "" {
		schema = copySchema(schema)
		schema["enum"] = enumValues(schema, common.Enum)
	}
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
