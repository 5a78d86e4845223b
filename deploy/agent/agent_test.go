package main_test

import (
	"debug/elf"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/boxtest"
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

// TestNewUser: what a person types first, and types wrong, is answered with what to do.
func TestNewUser(t *testing.T) {
	t.Parallel()
	program := build(t, runtime.GOARCH)
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yaml")
	plane, meta := boxtest.StartPlane(t), boxtest.StartIMDS(t, "i-1")
	proxied := boxtest.StartPlane(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	run := func(stdin string, more []string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, append([]string{"--config", file}, args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		cmd.Env = append([]string{
			"PATH=/usr/bin:/bin", "SPOTKEEPER_AGENT_IMDS_ENDPOINT=" + meta.URL,
			"SPOTKEEPER_AGENT_STATE_DIR=" + dir, "SPOTKEEPER_AGENT_SOCKET=" + filepath.Join(dir, "agent.sock"),
		}, more...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	enrol := func(api string, more ...string) []string {
		return append([]string{"enrol", "--api", api, "--agent-id", "web"}, more...)
	}
	for name, c := range map[string]struct {
		stdin       string
		args        []string
		environment []string
		says        []string
	}{
		"status without an agent": {args: []string{"status"}, says: []string{"no agent runs", "systemctl start"}},
		"drain without an agent":  {args: []string{"drain"}, says: []string{"no agent runs"}},
		"run without settings":    {args: []string{"run"}, says: []string{"api is missing", "agent_id is missing"}},
		"doctor without settings": {args: []string{"doctor"}, says: []string{"FAIL  configuration", file, "enrol"}},
		"no scheme":               {"x", enrol("spotkeeper.example.com"), nil, []string{"must begin with https://", "https://spotkeeper.example.com"}},
		"empty token":             {" \n", enrol(plane.URL), nil, []string{"the token is empty"}},
		"no token file":           {"", enrol(plane.URL, "--token-file", "/no/such"), nil, []string{"/no/such"}},
		"wrong port":              {"x", enrol(closed.URL), nil, []string{"nothing is written", "nothing listens", "port"}},
		"wrong name":              {"x", enrol("http://no-such-host.invalid"), nil, []string{"is not known here"}},
		"TLS to HTTP":             {"x", enrol(strings.Replace(plane.URL, "http", "https", 1)), nil, []string{"does not speak TLS"}},
		"a proxy that is away": {
			"x", enrol("http://spotkeeper.test"), []string{"HTTP_PROXY=" + closed.URL}, []string{"nothing is written"},
		},
		"a way to join that is not": {"x", enrol(plane.URL, "--join", "magic"), nil, []string{"aws-iam"}},
	} {
		out, err := run(c.stdin, c.environment, c.args...)
		require.Error(t, err, name)
		for _, part := range c.says {
			require.Contains(t, out, part, name)
		}
		require.NoFileExists(t, file, name)
	}

	out, err := run("x", []string{"HTTP_PROXY=" + proxied.URL}, enrol("http://spotkeeper.test")...)
	require.NoError(t, err, out)
	require.NotEmpty(t, proxied.Arrivals("/validate"), "by the proxy")
	require.Contains(t, out, "systemctl enable --now spotkeeper-agent")
	out, _ = run("x", []string{"HTTP_PROXY=" + proxied.URL}, "doctor")
	require.Contains(t, out, "ok    proxy")
	require.Contains(t, out, "the token is that of Acme")
	out, err = run("x", nil, "doctor")
	require.Error(t, err)
	require.Contains(t, out, "FAIL  name of the control plane", "without the proxy there is no way")
}
