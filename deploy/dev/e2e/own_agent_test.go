package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/testkit/subprocess"
)

// ownAgent is the agent's program on one simulated instance.
type ownAgent struct {
	t       *testing.T
	program string
	dir     string
	process *exec.Cmd
}

// buildOwnAgent compiles the program once for a test.
func buildOwnAgent(t *testing.T) string {
	t.Helper()
	root, err := devtest.Root()
	require.NoError(t, err)
	program := filepath.Join(root, "bin", "test", "spotkeeper-agent")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program,
		"./deploy/agent")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// startOwnAgent enrols an instance by the agent's own command, with a token, and runs the
// agent there.
func startOwnAgent(t *testing.T, f *fleet, program, name, instance, credential string) *ownAgent {
	t.Helper()
	token := filepath.Join(t.TempDir(), "given-token")
	require.NoError(t, os.WriteFile(token, []byte(credential+"\n"), 0o600))
	return startOwnAgentBy(t, f, program, name, instance, "--token-file", token)
}

// startOwnAgentBy is startOwnAgent with a way to join.
func startOwnAgentBy(t *testing.T, f *fleet, program, name, instance string, join ...string) *ownAgent {
	t.Helper()
	a := &ownAgent{t: t, program: program, dir: t.TempDir()}
	a.hook("notice/10-tell", "")
	a.hook("drain/10-stop", "")
	t.Setenv("SPOTKEEPER_AGENT_STATE_DIR", filepath.Join(a.dir, "state"))
	t.Setenv("SPOTKEEPER_AGENT_SOCKET", filepath.Join(a.dir, "agent.sock"))
	t.Setenv("SPOTKEEPER_AGENT_IMDS_ENDPOINT", f.EC2+"/_sim/imds/"+instance)
	t.Setenv("SPOTKEEPER_AGENT_IMDS_POLL", "200ms")
	t.Setenv("SPOTKEEPER_AGENT_HEARTBEAT", "1s")
	t.Setenv("SPOTKEEPER_AGENT_HOOKS_DIR", filepath.Join(a.dir, "hooks.d"))
	out, err := a.command(t.Context(), append([]string{"enrol", "--api", f.API, "--agent-id", name}, join...)...).
		CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "Next: systemctl enable")

	log, err := os.Create(filepath.Join(a.dir, "log"))
	require.NoError(t, err)
	a.process = a.command(context.Background(), "run")
	a.process.Stdout, a.process.Stderr = log, log
	a.process.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
	require.NoError(t, a.process.Start())
	t.Cleanup(func() {
		_ = a.process.Process.Kill()
		_ = a.process.Wait()
		_ = log.Close()
		if content, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("the agent's log:\n%s", content)
		}
	})
	return a
}

func (a *ownAgent) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, a.program,
		append([]string{"--config", filepath.Join(a.dir, "agent.yaml")}, args...)...)
}

func (a *ownAgent) hook(name, script string) {
	a.t.Helper()
	path := filepath.Join(a.dir, "hooks.d", name)
	require.NoError(a.t, os.MkdirAll(filepath.Dir(path), 0o755))
	text := "#!/bin/sh\n" + script + "\necho $SPOTKEEPER_EVENT $SPOTKEEPER_INSTANCE_ID $SPOTKEEPER_PEER_ID >> " +
		filepath.Join(a.dir, "trace") + "\n"
	require.NoError(a.t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(a.t, os.Chmod(path, 0o755))
}

func (a *ownAgent) trace() []string {
	content, err := os.ReadFile(filepath.Join(a.dir, "trace"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

// status is empty while the agent starts.
func (a *ownAgent) status() (s struct {
	AgentID  string    `json:"registered_as"`
	LastBeat time.Time `json:"last_heartbeat"`
	Notices  []struct {
		Done   bool
		Answer struct {
			Action        string
			NewInstanceID string `json:"new_instance_id"`
		}
	}
}) {
	out, err := a.command(a.t.Context(), "status", "--json").Output()
	if err == nil {
		require.NoError(a.t, json.Unmarshal(out, &s))
	}
	return s
}

// residentKB is what the kernel says of the process's memory.
func (a *ownAgent) residentKB() int {
	content, err := os.ReadFile("/proc/" + strconv.Itoa(a.process.Process.Pid) + "/status")
	require.NoError(a.t, err)
	for line := range strings.Lines(string(content)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			require.NoError(a.t, err)
			return kb
		}
	}
	require.Fail(a.t, "the kernel does not say")
	return 0
}

// enrolment is a token that one instance may join with.
func enrolment(t *testing.T, f *fleet, name string) string {
	t.Helper()
	var made struct{ Token string }
	status, err := f.Call(t.Context(), "POST", "/api/client/"+f.who.ID+"/credentials", "", map[string]any{
		"kind":             "enrolment",
		"logical_agent_id": name,
	}, &made)
	require.NoError(t, err)
	require.Equal(t, 201, status)
	return made.Token
}

// TestOwnAgent is the agent's program against the product: it is enrolled, examined,
// given notice and replaced, and its successor's agent goes on. The first joins with a
// one-time token, the second with the client's.
func TestOwnAgent(t *testing.T) {
	s := devtest.Start(t, devtest.Options{})
	f := newFleet(t, s, newTenant(t, s))
	program := buildOwnAgent(t)
	ctx := deadline(t, 4*time.Minute)
	at, err := f.machine(ctx, "web", zones[0])
	require.NoError(t, err)
	a := startOwnAgent(t, f, program, "web", at, enrolment(t, f, "web"))
	require.Eventually(t, func() bool { return !a.status().LastBeat.IsZero() }, time.Minute, 50*time.Millisecond)
	m := &member{fleet: f, name: "web", id: a.status().AgentID}
	now, err := m.state(ctx)
	require.NoError(t, err)
	require.Equal(t, at, now.Primary.ID)
	require.NoError(t, m.reportPrices(ctx, at))

	examined, err := a.command(ctx, "doctor").CombinedOutput()
	require.NoError(t, err, "%s", examined)
	require.NotContains(t, string(examined), "FAIL")

	_, err = f.sim.Signal(ctx, simclient.Interruption{InstanceID: at, Kind: simclient.Rebalance})
	require.NoError(t, err)
	_, _, err = m.awaitReady(ctx)
	require.NoError(t, err, "the recommendation has brought a standby about")

	_, err = f.sim.Signal(ctx, simclient.Interruption{InstanceID: at, Kind: simclient.Notice, NoticeSeconds: 60})
	require.NoError(t, err)
	moved, err := m.awaitMove(ctx, at)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(a.trace()) == 2 }, time.Minute, 50*time.Millisecond)
	require.Equal(t, []string{"notice " + at + " " + moved.Primary.ID, "drain " + at + " " + moved.Primary.ID},
		a.trace())
	var doors []string
	for _, n := range moved.Notices {
		doors = append(doors, n.Kind+" "+n.Result)
	}
	require.Contains(t, doors, "termination-notice promoted")
	t.Logf("the agent keeps %d kB in memory", a.residentKB())
	require.Less(t, a.residentKB(), 20<<10)

	next := startOwnAgent(t, f, program, "web", moved.Primary.ID, f.who.Token)
	require.Eventually(t, func() bool { return !next.status().LastBeat.IsZero() }, time.Minute, 50*time.Millisecond)
	require.Equal(t, m.id, next.status().AgentID, "the successor is the same agent")
	now, err = m.state(ctx)
	require.NoError(t, err)
	require.Equal(t, moved.Primary.ID, now.Primary.ID)
}

// TestOwnAgentJoinsWithoutASecret: two instances join by what AWS says of them, one by the
// role of its profile and one by its identity document. Each has a token of its own.
func TestOwnAgentJoinsWithoutASecret(t *testing.T) {
	certificates := t.TempDir()
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"JOIN_CERTIFICATES": certificates}})
	f := newFleet(t, s, newTenant(t, s))
	program := buildOwnAgent(t)
	ctx := deadline(t, 4*time.Minute)
	certificate, err := f.sim.IdentityCertificate(ctx)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(certificates, region+".pem"), certificate, 0o600))
	require.NoError(t, s.Restart(ctx, devtest.API))
	status, err := f.Call(ctx, "PUT", "/api/client/"+f.who.ID+"/join-rules", f.FirstOperator(),
		map[string]any{"roles": []string{"web-box"}, "identity_documents": true}, nil)
	require.NoError(t, err)
	require.Equal(t, 200, status)

	at, err := f.launchWith(ctx, zones[0], map[string]string{"Name": "web"}, "web-box")
	require.NoError(t, err)
	web := startOwnAgentBy(t, f, program, "web", at, "--join", "aws-iam")
	require.Eventually(t, func() bool { return !web.status().LastBeat.IsZero() }, time.Minute, 50*time.Millisecond)
	examined, err := web.command(ctx, "doctor").CombinedOutput()
	require.NoError(t, err, "%s", examined)
	require.Contains(t, string(examined), "role of the instance")

	also, err := f.machine(ctx, "db", zones[1])
	require.NoError(t, err)
	db := startOwnAgentBy(t, f, program, "db", also, "--join", "aws-iid")
	require.Eventually(t, func() bool { return !db.status().LastBeat.IsZero() }, time.Minute, 50*time.Millisecond)
	for _, a := range []*ownAgent{web, db} {
		content, err := os.ReadFile(filepath.Join(a.dir, "state", "agent.json"))
		require.NoError(t, err)
		require.Contains(t, string(content), "spk-agent-")
		_, err = os.Stat(filepath.Join(a.dir, "token"))
		require.ErrorIs(t, err, os.ErrNotExist, "no secret was given to it")
	}
}
