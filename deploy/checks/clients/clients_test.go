// Package clients_test makes clients of the API's document with the generators that Go programs use.
// The console's build does the same with openapi-typescript.
package clients_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/codegen"
	"github.com/ogen-go/ogen"
	"github.com/ogen-go/ogen/gen"
	"github.com/ogen-go/ogen/gen/genfs"
	"github.com/ogen-go/ogen/location"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	// What the generated packages import.
	_ "github.com/go-faster/errors"
	_ "github.com/go-faster/jx"
	_ "github.com/oapi-codegen/runtime"
	_ "github.com/ogen-go/ogen/otelogen"
	_ "go.opentelemetry.io/otel"
	_ "go.opentelemetry.io/otel/metric"
	_ "go.opentelemetry.io/otel/trace"
)

const document = "../../../api/openapi.json"

// compile compiles the package in dir, which must be inside of this module.
func compile(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "build", "./"+dir).CombinedOutput() //nolint:gosec // the tool itself
	require.NoError(t, err, string(out))
}

// newPackage is a directory for generated code: imports are resolved by this module's go.mod.
func newPackage(t *testing.T) string {
	t.Helper()
	require.NoError(t, os.MkdirAll("testdata", 0o750))
	dir, err := os.MkdirTemp("testdata", "generated")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestOgenMakesAClientThatCompiles(t *testing.T) {
	t.Parallel()

	raw, err := os.ReadFile(document)
	require.NoError(t, err)
	spec, err := ogen.Parse(raw)
	require.NoError(t, err)
	generator, err := gen.NewGenerator(spec, gen.Options{
		Parser: gen.ParseOptions{File: location.NewFile("openapi.json", document, raw)},
		Logger: zap.NewNop(),
	})
	require.NoError(t, err)
	dir := newPackage(t)
	require.NoError(t, generator.WriteSource(genfs.FormattedSource{Root: dir, Format: true}, "generated"))
	compile(t, dir)
}

func TestOapiCodegenMakesAClientThatCompiles(t *testing.T) {
	t.Parallel()

	doc, err := openapi3.NewLoader().LoadFromFile(document)
	require.NoError(t, err)
	code, err := codegen.Generate(doc, codegen.Configuration{
		PackageName:   "generated",
		Generate:      codegen.GenerateOptions{Client: true, Models: true},
		OutputOptions: codegen.OutputOptions{SkipPrune: true},
	})
	require.NoError(t, err)
	dir := newPackage(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "client.go"), []byte(code), 0o600))
	compile(t, dir)
}
