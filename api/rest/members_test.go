package rest_test

import (
	_ "embed"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:embed testdata/unread_members.txt
var unreadMembers string

// TestEveryMemberOfAnAnswerIsRead asks for a test that reads each member of each answer:
// its name stands in a test of the API, or in a golden file of testdata. The members that
// testdata/unread_members.txt lists were there before this rule: nothing is added to the list.
func TestEveryMemberOfAnAnswerIsRead(t *testing.T) {
	t.Parallel()
	read := wordsOfTests(t)
	listed, members := strings.Fields(unreadMembers), answerMembers(t)
	for _, name := range members {
		if slices.Contains(listed, name) {
			continue
		}
		require.True(t, read[name], "no test reads the member %q of an answer: see \"an endpoint\" in CONTRIBUTING.md", name)
	}
	for _, name := range listed {
		require.Contains(t, members, name, "testdata/unread_members.txt lists what no answer has")
	}
}

// wordsOfTests are the words of all tests and golden files of the API.
func wordsOfTests(t *testing.T) map[string]bool {
	t.Helper()
	word := regexp.MustCompile(`\w+`)
	words := map[string]bool{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if entry.Name() == "console" || entry.Name() == "fuzz" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "testdata") ||
			strings.HasSuffix(path, "unread_members.txt") {
			return nil
		}
		text, err := os.ReadFile(path) //nolint:gosec // a test of this repository
		for _, w := range word.FindAllString(string(text), -1) {
			words[w] = true
		}
		return err
	})
	require.NoError(t, err)
	return words
}

// answerMembers are the names of all members of all answers, as api/openapi.json has them.
func answerMembers(t *testing.T) []string {
	t.Helper()
	file, err := os.ReadFile("../openapi.json")
	require.NoError(t, err)
	var document map[string]any
	require.NoError(t, json.Unmarshal(file, &document))
	schemas := document["components"].(map[string]any)["schemas"].(map[string]any)
	names, seen := map[string]bool{}, map[string]bool{}
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, n := range node {
				walk(n)
			}
		case map[string]any:
			if ref, ok := node["$ref"].(string); ok && !seen[ref] {
				seen[ref] = true
				walk(schemas[strings.TrimPrefix(ref, "#/components/schemas/")])
			}
			properties, _ := node["properties"].(map[string]any)
			for name, schema := range properties {
				names[name] = true
				walk(schema)
			}
			for key, n := range node {
				if key != "properties" {
					walk(n)
				}
			}
		}
	}
	for _, path := range document["paths"].(map[string]any) {
		for _, operation := range path.(map[string]any) {
			if o, ok := operation.(map[string]any); ok {
				walk(o["responses"])
			}
		}
	}
	require.Greater(t, len(names), 400)
	return slices.Sorted(maps.Keys(names))
}
