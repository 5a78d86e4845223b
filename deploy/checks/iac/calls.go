package iac

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sdk begins the import path of each AWS service in the SDK.
const sdk = "github.com/aws/aws-sdk-go-v2/service/"

// Calls lists the calls of AWS that the program under root makes, as ec2:RunInstances: each
// call needs its input, so the inputs that are named are the calls. Tests, doubles and the
// development stack are left out.
func Calls(root string) ([]string, error) {
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && slices.Contains([]string{"node_modules", "testdata", "testkit", "ec2sim", "dev", "checks", "bin"}, name) {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return addCalls(file, found)
	})
	return slices.Sorted(maps.Keys(found)), err
}

func addCalls(file *ast.File, found map[string]bool) error {
	services := map[string]string{} // by the name in the file
	for _, i := range file.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, "/credentials/stscreds") {
			found["sts:AssumeRole"] = true
		}
		service, ours := strings.CutPrefix(path, sdk)
		if !ours || strings.Contains(service, "/") {
			continue
		}
		local := service
		if i.Name != nil {
			local = i.Name.Name
		}
		services[local] = service
	}
	ast.Inspect(file, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := selector.X.(*ast.Ident)
		call, isInput := strings.CutSuffix(selector.Sel.Name, "Input")
		if ok && isInput && services[from.Name] != "" {
			found[services[from.Name]+":"+call] = true
		}
		return true
	})
	return nil
}
