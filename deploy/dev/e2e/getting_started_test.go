package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/testkit/moto"
)

// motoAccount is the account that moto's stacks are in.
const motoAccount = "123456789012"

// newStackAt creates a CloudFormation stack at moto, and reads one of its outputs.
func newStackAt(t *testing.T, endpoint, name, template string, parameters map[string]string, output string) string {
	t.Helper()
	send := func(form url.Values) string {
		form.Set("Version", "2010-05-15")
		form.Set("StackName", name)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20261128/"+region+
			"/cloudformation/aws4_request, SignedHeaders=host, Signature=0")
		client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		answer, err := client.Do(request)
		require.NoError(t, err)
		defer func() { _ = answer.Body.Close() }()
		content, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode, "%s", content)
		return string(content)
	}
	form := url.Values{"Action": {"CreateStack"}, "TemplateBody": {template}, "Capabilities.member.1": {"CAPABILITY_NAMED_IAM"}}
	n := 0
	for key, value := range parameters {
		n++
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterKey", n), key)
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterValue", n), value)
	}
	send(form)
	_, rest, found := strings.Cut(send(url.Values{"Action": {"DescribeStacks"}}), "<OutputKey>"+output+"</OutputKey>")
	require.True(t, found, output)
	_, rest, _ = strings.Cut(rest, "<OutputValue>")
	value, _, _ := strings.Cut(rest, "</OutputValue>")
	return value
}

// page is docs/getting-started.md, whose commands a new user copies.
type page string

// body is what the page's request to a path sends.
func (p page) body(t *testing.T, path string) map[string]any {
	t.Helper()
	_, rest, found := strings.Cut(string(p), path)
	require.True(t, found, "%s is on the page", path)
	sent := regexp.MustCompile(`-d '([^']+)'`).FindStringSubmatch(rest)
	require.NotNil(t, sent)
	var out map[string]any
	require.NoError(t, json.Unmarshal([]byte(sent[1]), &out))
	return out
}

// TestGettingStarted goes the way of the page, by its own requests and commands: a client, its
// role by the template, the events by theirs, a token, the agent's program, both doctors, and
// the rehearsal that fails over.
func TestGettingStarted(t *testing.T) {
	root, err := devtest.Root()
	require.NoError(t, err)
	content, err := os.ReadFile(filepath.Join(root, "docs", "getting-started.md"))
	require.NoError(t, err)
	manual := page(content)
	s := devtest.Start(t, devtest.Options{})
	aws := moto.Start(t)
	program := buildOwnAgent(t)
	ctx := deadline(t, 2*time.Minute)
	operator := s.FirstOperator()

	// 1. A client, and its role.
	var made struct{ Client struct{ ID, Token string } }
	status, err := s.Call(ctx, "POST", "/api/admin/clients/create", operator, manual.body(t, "/api/admin/clients/create"), &made)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	var setup struct {
		ExternalID string `json:"external_id"`
		Template   json.RawMessage
	}
	status, err = s.Call(ctx, "GET", "/api/client/"+made.Client.ID+"/account", operator, nil, &setup)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	role := newStackAt(t, aws, "role", string(setup.Template), nil, "RoleArn")
	require.True(t, strings.HasPrefix(role, "arn:aws:iam::"+motoAccount+":role/"), role)
	f := newFleet(t, s, tenant{ID: made.Client.ID, Token: operator, Account: motoAccount})
	require.NoError(t, f.sim.AddRole(ctx, simclient.Role{ARN: role, ExternalID: setup.ExternalID}))
	status, err = s.Call(ctx, "PUT", "/api/admin/clients/"+made.Client.ID+"/account", operator, map[string]any{"role_arn": role}, nil)
	require.NoError(t, err)
	require.Equal(t, 200, status)

	// 2. What AWS announces.
	events, err := os.ReadFile(filepath.Join(root, "deploy", "cloudformation", "control-events.yaml"))
	require.NoError(t, err)
	queue := newStackAt(t, aws, "spotkeeper-events", string(events), nil, "QueueURL")
	require.Contains(t, queue, "/spotkeeper-events")

	// 3. and 4. A token, and one command on the instance.
	path := "/api/client/" + made.Client.ID + "/credentials"
	var token struct{ Token string }
	status, err = s.Call(ctx, "POST", path, operator, manual.body(t, "/api/client/$CLIENT/credentials"), &token)
	require.NoError(t, err)
	require.Equal(t, 201, status)
	at, err := f.machine(ctx, "web", zones[0])
	require.NoError(t, err)
	t.Setenv("SPOTKEEPER_AGENT_HOOKS_BUDGET", "115s") // of 120, so that the drain begins soon
	a := startOwnAgent(t, f, program, "web", at, token.Token)
	require.Eventually(t, func() bool { return !a.status().LastBeat.IsZero() }, time.Minute, 50*time.Millisecond)

	// 5. Both doctors.
	examined, err := a.command(ctx, "doctor").CombinedOutput()
	require.NoError(t, err, "%s", examined)
	require.NotContains(t, string(examined), "FAIL")
	require.Contains(t, string(examined), "registered as "+a.status().AgentID)
	m := &member{fleet: f, name: "web", id: a.status().AgentID}
	var preflight struct {
		Result string
		Checks []struct{ Name, Result, Repair string }
	}
	status, err = s.Call(ctx, "GET", "/api/client/agents/"+m.id+"/preflight?run=true", operator, nil, &preflight)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.NotEmpty(t, preflight.Checks)
	for _, check := range preflight.Checks {
		require.NotEqual(t, "failed", check.Result, "%s: %s", check.Name, check.Repair)
	}

	// 6. The rehearsals, and what the hooks did as the console shows it.
	out, err := a.command(ctx, "notice", "--simulate", "120s").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Eventually(t, func() bool {
		notices := a.status().Notices
		return len(notices) == 1 && notices[0].Done
	}, time.Minute, 50*time.Millisecond)
	require.Len(t, a.trace(), 2)
	now, err := m.state(ctx)
	require.NoError(t, err)
	require.Equal(t, at, now.Primary.ID)
	out, err = a.command(ctx, "notice", "--simulate", "120s", "--report").CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, err = m.awaitMove(ctx, at)
	require.NoError(t, err)
	var operation struct {
		Steps []struct{ Name, Status, Detail string }
	}
	id := url.PathEscape("termination/" + m.id + "/" + at)
	require.Eventually(t, func() bool {
		status, err := s.Call(ctx, "GET", "/api/operations/"+id, operator, nil, &operation)
		require.NoError(t, err)
		hooks := 0
		for _, step := range operation.Steps {
			if strings.HasPrefix(step.Name, "hook ") && step.Status == "done" {
				hooks++
			}
		}
		return status == 200 && hooks == 2
	}, time.Minute, 100*time.Millisecond, "%+v", operation)
}

// TestGettingStartedNamesCommands: each command of the agent on the page is one of its program.
func TestGettingStartedNamesCommands(t *testing.T) {
	t.Parallel()
	root, err := devtest.Root()
	require.NoError(t, err)
	program := buildOwnAgent(t)
	content, err := os.ReadFile(filepath.Join(root, "docs", "getting-started.md"))
	require.NoError(t, err)
	named := regexp.MustCompile("spotkeeper-agent ([a-z]+)(?: |`|\\n)").FindAllStringSubmatch(string(content), -1)
	require.NotEmpty(t, named)
	help, err := (&ownAgent{t: t, program: program, dir: t.TempDir()}).command(t.Context(), "--help").Output()
	require.NoError(t, err)
	for _, one := range named {
		require.Regexp(t, `(?m)^  `+one[1]+`\b`, string(help))
	}
}
