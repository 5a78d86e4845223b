package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// dryRun is what `make` would do for a target.
func dryRun(t *testing.T, target, packages string) string {
	t.Helper()
	cmd := exec.Command("make", "--dry-run", "--no-print-directory", target, "PKG="+packages)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// TestUnitNeedsWhatItsPackagesNeed: a pure package is tested without the console, npm and
// ONNX Runtime, and the packages that need something still get it.
func TestUnitNeedsWhatItsPackagesNeed(t *testing.T) {
	t.Parallel()
	pure := dryRun(t, "test-unit", "./internal/domain/roles")
	require.Contains(t, pure, "go test -race")
	for _, other := range []string{"npm", "onnxruntime", "metadata-mock", "console"} {
		require.NotContains(t, pure, other)
	}
	require.Contains(t, dryRun(t, "test-unit", "./internal/engine/..."), "deploy/onnxruntime.sh")
	require.Contains(t, dryRun(t, "test-unit", "./..."), "deploy/onnxruntime.sh")
}

// TestOnnxruntimeOnOtherSystems runs the script as on other machines: where there is no
// library it says so and lets the other tests run, but a Linux without one fails.
func TestOnnxruntimeOnOtherSystems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		system, machine string
		fails           bool
	}{
		{system: "Darwin", machine: "x86_64"},
		{system: "FreeBSD", machine: "amd64"},
		{system: "Linux", machine: "riscv64", fails: true},
	} {
		t.Run(c.system+" "+c.machine, func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			uname := "#!/bin/sh\n[ \"$1\" = -s ] && echo " + c.system + " || echo " + c.machine + "\n"
			require.NoError(t, os.WriteFile(filepath.Join(bin, "uname"), []byte(uname), 0o755))
			cmd := exec.Command(filepath.Join(root, "deploy/onnxruntime.sh"), t.TempDir())
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			require.Equal(t, c.fails, err != nil, string(out))
			require.Contains(t, string(out), "there is no library for "+c.system+" on "+c.machine)
		})
	}
}
