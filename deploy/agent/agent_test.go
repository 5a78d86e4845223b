package main_test

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// build compiles the agent as the Makefile does.
func build(t *testing.T, arch string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "spotkeeper-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=5.1.2",
		"-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// TestProgramIsSmallAndStatic: it runs on every distribution, and fits an instance's boot.
func TestProgramIsSmallAndStatic(t *testing.T) {
	t.Parallel()
	program := build(t, "amd64")
	info, err := os.Stat(program)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(15<<20))
	file, err := elf.Open(program)
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	for _, segment := range file.Progs {
		require.NotEqual(t, elf.PT_INTERP, segment.Type, "it needs no loader")
	}
	out, err := exec.CommandContext(t.Context(), program, "version").Output()
	require.NoError(t, err)
	require.Equal(t, "5.1.2\n", string(out))
}

// TestFilesNameWhatIsThere: the packages' files and the commands in them.
func TestFilesNameWhatIsThere(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("nfpm.yaml")
	require.NoError(t, err)
	for _, found := range regexp.MustCompile(`deploy/agent/[\w./-]+`).FindAllString(string(content), -1) {
		_, err := os.Stat(filepath.Join("../..", found))
		require.NoError(t, err)
	}
	scripts, err := filepath.Glob("files/hooks/*-*")
	require.NoError(t, err)
	more, err := filepath.Glob("files/*.sh")
	require.NoError(t, err)
	scripts = append(append(scripts, more...), "install.sh")
	require.Greater(t, len(scripts), 8)
	for _, script := range scripts {
		out, err := exec.CommandContext(t.Context(), "sh", "-n", script).CombinedOutput()
		require.NoError(t, err, "%s: %s", script, out)
	}
}
