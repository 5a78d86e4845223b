// Package docs tests that what README.md and docs/ say about the tree is so: the files and
// functions that they name, the listings that they print, and the layers that they draw.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../../.."

// documents are the pages that name parts of the tree.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/adr/*.md", "deploy/*/README.md", "deploy/runbooks/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		all = append(all, found...)
	}
	require.Greater(t, len(all), 30, "the documents lie elsewhere")
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

var (
	goFile = regexp.MustCompile("`([a-z0-9_]+(?:/[a-z0-9_]+)*/[a-z0-9_]+\\.go)`")
	link   = regexp.MustCompile(`\]\(([^)#\s:]+)(?:#[^)]*)?\)`)
)

// TestNamedFilesExist follows every relative link, and looks for every Go file that a
// document names by its path.
func TestNamedFilesExist(t *testing.T) {
	t.Parallel()
	var missing []string
	for _, page := range documents(t) {
		text := read(t, page)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				missing = append(missing, page+" links "+m[1])
			}
		}
		if strings.Contains(page, "/adr/") {
			continue // a decision names the files of its day
		}
		for _, m := range goFile.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				missing = append(missing, page+" names "+m[1])
			}
		}
	}
	require.Empty(t, missing)
}

// namedTest is a test or a benchmark that a document names.
var namedTest = regexp.MustCompile("`((?:Test|Benchmark)[A-Z][A-Za-z0-9]*)`")

// TestNamedTestsExist looks for every test that a document names, by its name or the beginning of
// it as -run takes it.
func TestNamedTestsExist(t *testing.T) {
	t.Parallel()
	var known []string
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == "node_modules" || path != root && strings.HasPrefix(d.Name(), ".") && d.Name() != "..") {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range declaredTest.FindAllStringSubmatch(read(t, path), -1) {
			known = append(known, m[1])
		}
		return nil
	}))
	var missing []string
	for _, page := range documents(t) {
		if strings.Contains(page, "/adr/") {
			continue // a decision names the tests of its day
		}
		for _, m := range namedTest.FindAllStringSubmatch(read(t, page), -1) {
			if !slices.ContainsFunc(known, func(name string) bool { return strings.HasPrefix(name, m[1]) }) {
				missing = append(missing, page+" names "+m[1])
			}
		}
	}
	require.Empty(t, missing)
}

var declaredTest = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark)[A-Za-z0-9]+)\(`)

// stage is a row of the table that follows a notice: a number, a file, its functions.
var (
	stage = regexp.MustCompile("(?m)^\\| ([0-9]) \\| `([a-z0-9_/]+\\.go)` \\|([^|]*)\\|")
	named = regexp.MustCompile("`(?:[A-Za-z]+\\.)?([A-Za-z]+)`")
)

// TestWayOfANotice holds the answer to "where does a termination notice become a role
// change?": README.md and docs/architecture.md give the same files in the same order,
// and each function is declared in the file that its row names.
func TestWayOfANotice(t *testing.T) {
	t.Parallel()
	var ways [][]string
	for _, page := range []string{"README.md", "docs/architecture.md"} {
		var way []string
		for _, m := range stage.FindAllStringSubmatch(read(t, filepath.Join(root, page)), -1) {
			way = append(way, m[2])
			declared := functions(t, filepath.Join(root, m[2]))
			names := named.FindAllStringSubmatch(m[3], -1)
			require.NotEmpty(t, names, "%s: row %s names no function", page, m[1])
			for _, name := range names {
				require.Contains(t, declared, name[1], "%s: row %s: %s", page, m[1], m[2])
			}
		}
		ways = append(ways, way)
	}
	require.Len(t, ways[0], 7)
	require.Equal(t, ways[0], ways[1], "README.md and docs/architecture.md differ")
}

// functions are the names of the functions and methods that a file declares.
func functions(t *testing.T, path string) (names []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			names = append(names, f.Name.Name)
		}
	}
	return names
}

// listing is a block that begins with a command of the shell and shows what it prints.
var listing = regexp.MustCompile("(?m)^```\n\\$ ((?:ls|go list) [^\n]+)\n((?:[^`\n][^\n]*\n)+)```")

// TestListings runs the commands whose output docs/architecture.md prints.
func TestListings(t *testing.T) {
	t.Parallel()
	listings := listing.FindAllStringSubmatch(read(t, filepath.Join(root, "docs/architecture.md")), -1)
	require.NotEmpty(t, listings)
	for _, m := range listings {
		cmd := exec.Command("sh", "-c", m[1])
		cmd.Dir, cmd.Env = root, append(os.Environ(), "LC_ALL=C")
		out, err := cmd.Output()
		require.NoError(t, err, m[1])
		require.Equal(t, strings.Fields(string(out)), strings.Fields(m[2]), m[1])
	}
}

var (
	layerRow = regexp.MustCompile("(?m)^\\| ((?:`[a-z0-9_/*]+`(?:, )?)+) \\|[^|\n]+\\|[^|\n]+\\|$")
	quoted   = regexp.MustCompile("`([a-z0-9_/*]+)`")
)

// TestLayers compares the table of layers with the packages of the module: each package
// lies in a layer of the table, and each layer has a package.
func TestLayers(t *testing.T) {
	t.Parallel()
	var layers []string
	_, table, found := strings.Cut(read(t, filepath.Join(root, "docs/architecture.md")), "\n| layer |")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	for _, row := range layerRow.FindAllStringSubmatch(table, -1) {
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			layers = append(layers, strings.TrimSuffix(m[1], "/"))
		}
	}
	used := map[string]bool{}
	for _, p := range packages(t) {
		at := layerOf(layers, p.path)
		require.NotEmpty(t, at, "%s is in no row of docs/architecture.md", p.path)
		used[at] = true
	}
	for _, layer := range layers {
		require.True(t, used[layer], "docs/architecture.md: there is no package in %s", layer)
	}
}

// layerOf is the most particular layer that a package lies in.
func layerOf(layers []string, path string) (at string) {
	for _, layer := range layers {
		prefix := strings.TrimSuffix(layer, "/*")
		if (path == prefix || strings.HasPrefix(path, prefix+"/")) && len(layer) > len(at) {
			at = layer
		}
	}
	return at
}

// TestImports holds what the table of layers says about imports. The linter depguard keeps
// the same for libraries and within a layer.
func TestImports(t *testing.T) {
	t.Parallel()
	all := []string{"activities", "api", "deploy", "internal", "worker", "workflows"}
	roof := []string{"api", "internal/app", "worker", "deploy"}
	above := append([]string{"activities", "workflows", "internal/postgres", "internal/fleet"}, roof...)
	base := []string{"internal/domain/plaintext", "internal/config", "internal/sealing", "internal/temporalx", "internal/tracing",
		"internal/domain/fault", "internal/domain/operators"}
	rules := map[string]struct{ deny, except []string }{
		"internal/domain":    {deny: all, except: []string{"internal/engine"}},
		"internal/engine":    {deny: above},
		"internal/postgres":  {deny: append([]string{"workflows", "internal/fleet"}, roof...)},
		"internal/fleet":     {deny: append([]string{"workflows", "internal/postgres"}, roof...)},
		"internal/events":    {deny: all, except: []string{"internal/domain"}},
		"internal/intake":    {deny: append([]string{"internal/postgres"}, roof...)},
		"internal/ec2sim":    {deny: all},
		"internal/box":       {deny: all},
		"internal/flight":    {deny: all},
		"activities":         {deny: append([]string{"workflows", "internal/postgres"}, roof...)},
		"workflows":          {deny: append([]string{"internal/postgres", "internal/fleet"}, roof...)},
		"internal/door":      {deny: above},
		"internal/identity":  {deny: above},
		"internal/artifacts": {deny: above},
		"internal/webhook":   {deny: above},
		"internal/serving":   {deny: above, except: []string{"activities"}},
		"internal/config":    {deny: all, except: base},
		"internal/sealing":   {deny: all, except: base},
		"internal/temporalx": {deny: all, except: base},
		"internal/tracing":   {deny: all, except: base},
		"internal/cli":       {deny: all, except: []string{"internal/domain/plaintext"}},
		"deploy/cli":         {deny: all, except: []string{"internal/cli"}},
		"deploy/agent":       {deny: all, except: []string{"internal/box"}},
		"internal/pghost":    {deny: all},
		"api":                {deny: []string{"worker", "internal/fleet"}},
	}
	var backward []string
	for _, p := range packages(t) {
		for layer, rule := range rules {
			if !within(p.path, []string{layer}) {
				continue
			}
			for _, used := range p.imports {
				if within(used, rule.deny) && !within(used, rule.except) && !within(used, []string{layer}) {
					backward = append(backward, p.path+" imports "+used)
				}
				if within(used, []string{"internal/testkit"}) && !within(p.path, []string{"internal/testkit", "internal/box/boxtest"}) {
					backward = append(backward, p.path+" imports the fixtures of tests")
				}
			}
		}
	}
	slices.Sort(backward)
	require.Empty(t, backward)
}

func within(path string, layers []string) bool {
	return slices.ContainsFunc(layers, func(layer string) bool {
		return path == layer || strings.HasPrefix(path, layer+"/")
	})
}

type goPackage struct {
	path    string
	imports []string // of this module
}

func packages(t *testing.T) (all []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		p := goPackage{path: strings.TrimPrefix(fields[0], "spotkeeper/")}
		for _, used := range fields[1:] {
			if inside, ok := strings.CutPrefix(used, "spotkeeper/"); ok {
				p.imports = append(p.imports, inside)
			}
		}
		all = append(all, p)
	}
	return all
}
