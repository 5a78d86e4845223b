package postgres_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client lives in the account of its role or in our own account. Code that reads the role
// alone leaves out the clients of our own account, or asks EC2 for them without an account.

// roleAlone are the declarations that may name the role without own_account.
var roleAlone = map[string]string{
	"awsevents/surveys.go placeOfClient": "clients without a role share one place, which is our own account",
}

// TestQueriesKnowClientsOfOurOwnAccount: each statement that names a client's role names
// own_account too.
func TestQueriesKnowClientsOfOurOwnAccount(t *testing.T) {
	t.Parallel()
	statements, wrong, excused := 0, []string(nil), map[string]bool{}
	walkSources(t, ".", func(path, declaration string, node ast.Node) bool {
		text, ok := textOf(node)
		if !ok {
			return true
		}
		if strings.Contains(text, "role_arn") {
			statements++
			if place := path + " " + declaration; roleAlone[place] != "" {
				excused[place] = true
			} else if !strings.Contains(text, "own_account") {
				wrong = append(wrong, place)
			}
		}
		return false
	})
	require.Empty(t, wrong, "read own_account beside role_arn, or say in roleAlone why it does not matter")
	require.Len(t, excused, len(roleAlone), "roleAlone lists what is there")
	require.Greater(t, statements, 15)
}

// TestScansKnowClientsOfOurOwnAccount: each read into an account's role reads whether it is our
// own account too.
func TestScansKnowClientsOfOurOwnAccount(t *testing.T) {
	t.Parallel()
	scans, wrong := 0, []string(nil)
	walkSources(t, ".", func(path, declaration string, node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		read := map[string]bool{}
		for _, argument := range call.Args {
			if pointer, ok := argument.(*ast.UnaryExpr); ok && pointer.Op == token.AND {
				if field, ok := pointer.X.(*ast.SelectorExpr); ok {
					read[field.Sel.Name] = true
				}
			}
		}
		if read["RoleARN"] {
			scans++
			if !read["Own"] {
				wrong = append(wrong, path+" "+declaration)
			}
		}
		return true
	})
	require.Empty(t, wrong)
	require.Greater(t, scans, 12)
}

// walkSources visits each node of the Go sources below a directory, without tests, and says in
// which file and declaration it is. Children of a node are visited when visit returns true.
func walkSources(t *testing.T, root string, visit func(path, declaration string, node ast.Node) bool) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return fmt.Errorf("parse %s: %w", path, err)
		}
		for _, declaration := range file.Decls {
			name := ""
			ast.Inspect(declaration, func(node ast.Node) bool {
				switch x := node.(type) {
				case *ast.FuncDecl:
					name = x.Name.Name
				case *ast.ValueSpec:
					if _, outside := declaration.(*ast.GenDecl); outside {
						name = x.Names[0].Name
					}
				}
				return node == nil || visit(path, name, node)
			})
		}
		return nil
	}))
}

// textOf is the text of a string or of strings that are joined.
func textOf(node ast.Node) (text string, ok bool) {
	switch x := node.(type) {
	case *ast.BasicLit:
		return x.Value, x.Kind == token.STRING
	case *ast.BinaryExpr:
		left, isLeft := textOf(x.X)
		right, isRight := textOf(x.Y)
		return left + right, x.Op == token.ADD && (isLeft || isRight)
	}
	return "", false
}
