// Package wording tests that code and documents use the words of docs/glossary.md.
package wording

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	// These words hide who acts. Comments name the process, the caller or the operator.
	vague = regexp.MustCompile(`(?i)\b(somebody|someone|whoever|anybody|anyone|everybody|everyone|untold)\b`)
	// What a test's name begins with is its subject, and what it says is in the words of the glossary.
	names = regexp.MustCompile(`^func (?:Test|Fuzz|Benchmark)\w*` +
		`(?:Somebody|Someone|Whoever|Anybody|Anyone|Everybody|Everyone|Nobody|Neighbour|Heir|Tell|Told)(?:[A-Z]\w*|s\w*)?\(`)
	// The word is searched for in comments only: "nobody" is also the name of a Unix user
	// and a value of the column instances.terminate_by.
	nobody = regexp.MustCompile(`(?i)(?:^|\s)//\s.*\bnobody\b`)
	// Postgres, Temporal and EC2 are called dependencies, not neighbours. The files about
	// prices are not searched: gap filling speaks of neighbouring points in time.
	neighbour = regexp.MustCompile(`(?i)\bneighbours?\b`)
	// A line without any of these matches none of the expressions. They are looked for first,
	// because expressions are slow under the race detector.
	roots = []string{"some", "whoever", "any", "every", "nobody", "told", "tell", "heir", "neighbour"}
)

// TestWords searches all Go files, tests among them, and all documents for words that are
// not used. The recorded contract of the legacy backend keeps its own words in testdata.
func TestWords(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	read, all := 0, []string{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == "bin" || name == "testdata" || name == "node_modules" ||
				name != "." && strings.HasPrefix(name, ".") && path != root {
				return filepath.SkipDir
			}
			return nil
		}
		if name == "wording_test.go" || !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".md") {
			return nil
		}
		read++
		found, err := findWords(path)
		all = append(all, found...)
		return err
	})
	require.NoError(t, err)
	require.Empty(t, all)
	require.Greater(t, read, 700, "the code lies elsewhere")
}

func findWords(path string) (found []string, err error) {
	file, err := os.Open(path) //nolint:gosec // a file of this repository
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	prices := strings.Contains(path, "pric")
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if !hasRoot(strings.ToLower(line)) {
			continue
		}
		if vague.MatchString(line) || names.MatchString(line) || nobody.MatchString(line) ||
			!prices && neighbour.MatchString(line) {
			found = append(found, fmt.Sprintf("%s:%d: %s", path, n, strings.TrimSpace(line)))
		}
	}
	return found, lines.Err()
}

func hasRoot(line string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return strings.Contains(line, root) })
}
