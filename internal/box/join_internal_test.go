package box

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/settings"
)

// issuer is a control plane that gives agents tokens, as docs/agent-protocol.md says.
type issuer struct {
	mu     sync.Mutex
	issued int
	valid  map[string]bool
	renew  bool
}

func (i *issuer) answer(a boxtest.Arrival) (int, string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case strings.HasSuffix(a.Path, "/join"):
		if a.Token != "spk-enrol-1" {
			return http.StatusUnauthorized, `{"error":"no","code":"credentials.used_up"}`
		}
		return http.StatusCreated, `{"agent_id":"agent-1","client_id":"client-1",` + i.issue() + `,"config":{}}`
	case !i.valid[a.Token]:
		return http.StatusUnauthorized, `{"error":"no","code":"credentials.expired"}`
	case strings.HasSuffix(a.Path, "/heartbeat") && i.renew:
		i.renew = false
		return http.StatusOK, `{"success":true,` + i.issue() + `}`
	}
	return 0, ""
}

func (i *issuer) issue() string {
	i.issued++
	token := fmt.Sprintf("spk-agent-%d", i.issued)
	i.valid = map[string]bool{token: true} // an older one is not good for the test's strictness
	at := time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)
	return fmt.Sprintf(`"token":%q,"token_expires_at":%q,"token_renew_after":%q`, token, at, at)
}

func (i *issuer) change(do func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	do()
}

func TestJoin(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	i := &issuer{}
	b.plane.Answer(i.answer)
	b.s.Join.Method, b.s.Join.Token = settings.OneTime, "spk-enrol-1"
	first := b.start("")
	last := func() string {
		beats := b.plane.Arrivals("/heartbeat")
		if len(beats) == 0 {
			return ""
		}
		return beats[len(beats)-1].Token
	}
	b.eventually(func() bool { return last() == "spk-agent-1" })
	require.Len(t, b.plane.Arrivals("/join"), 1)

	i.change(func() { i.renew = true })
	b.eventually(func() bool { return last() == "spk-agent-2" }, "a heartbeat's answer brings the next token")
	info, err := os.Stat(filepath.Join(b.s.StateDir, "agent.json"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	b.run()
	b.eventually(func() bool { return b.status().LastBeat.After(b.status().Since) })
	require.Len(t, b.plane.Arrivals("/join"), 1, "the token is on disk")
	require.Equal(t, "spk-agent-2", last())

	i.change(func() { i.valid = nil })
	b.eventually(func() bool { return last() == "spk-agent-3" },
		"a token that was revoked is replaced by joining again")
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	b.eventually(b.allDone)
	reports := b.plane.Arrivals("/termination-imminent")
	require.Equal(t, "spk-agent-3", reports[len(reports)-1].Token)
}

// TestJoinByRole: a challenge for each attempt, a signature by the service's clock, and the
// agent's own token afterwards.
func TestJoinByRole(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.imds.SetClock(time.Hour) // the instance's clock is an hour slow
	b.imds.Set("meta-data/iam/security-credentials/", "web-box")
	b.imds.Set("meta-data/iam/security-credentials/web-box",
		`{"Code":"Success","AccessKeyId":"ASIAEXAMPLEEXAMPLE01","SecretAccessKey":"s","Token":"t"}`)
	var mu sync.Mutex
	refusals := 1
	b.plane.Answer(func(a boxtest.Arrival) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasSuffix(a.Path, "/join/challenge"):
			return http.StatusCreated, `{"challenge":"c"}`
		case strings.HasSuffix(a.Path, "/join/aws-iam") && refusals > 0:
			refusals--
			return http.StatusUnauthorized, `{"error":"no","code":"join.stale_challenge"}`
		case strings.HasSuffix(a.Path, "/join/aws-iam"):
			return http.StatusCreated, `{"agent_id":"agent-1","client_id":"client-1","token":"spk-agent-1","config":{}}`
		case a.Token != "spk-agent-1":
			return http.StatusUnauthorized, `{"error":"no","code":"auth.missing_token"}`
		}
		return 0, ""
	})
	b.s.Join = settings.Join{Method: settings.ByRole, ClientID: "client-1"}
	b.run()
	b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
	require.Len(t, b.plane.Arrivals("/join/challenge"), 2)
	sent := b.plane.Arrivals("/join/aws-iam")
	require.Len(t, sent, 2)
	require.Empty(t, sent[1].Token)
	require.Equal(t, "client-1", sent[1].Body["client_id"])
	require.Equal(t, "i-1", sent[1].Body["instance_id"])
	request := sent[1].Body["request"].(map[string]any)
	require.Equal(t, "https://sts.us-east-1.amazonaws.com/", request["url"])
	headers := request["headers"].(map[string]any)
	require.Equal(t, "c@127.0.0.1", headers["X-Spotkeeper-Challenge"], "the challenge, and the control plane that it is for")
	require.Contains(t, headers["Authorization"], ";x-spotkeeper-challenge,")
	at, err := time.Parse("20060102T150405Z", headers["X-Amz-Date"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), at, 10*time.Minute)
	require.NotContains(t, fmt.Sprint(sent[1].Body), "SecretAccessKey")
}

// TestJoinByDocument: after kill -9 between the control plane's answer and the disk the
// agent repeats the attempt that has used the document.
func TestJoinByDocument(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.imds.Set("dynamic/instance-identity/rsa2048", "signed")
	var mu sync.Mutex
	lost := true
	b.plane.Answer(func(a boxtest.Arrival) (int, string) {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasSuffix(a.Path, "/join/aws-iid") && lost:
			return http.StatusBadGateway, `{"error":"the answer is lost","code":"x"}`
		case strings.HasSuffix(a.Path, "/join/aws-iid"):
			return http.StatusCreated, `{"agent_id":"agent-1","client_id":"client-1","token":"spk-agent-1","config":{}}`
		}
		return 0, ""
	})
	b.s.Join = settings.Join{Method: settings.ByDocument}
	first := b.start("")
	b.eventually(func() bool { return len(b.plane.Arrivals("/join/aws-iid")) > 0 })
	require.NoError(t, first.Process.Kill())
	_ = first.Wait()
	mu.Lock()
	lost = false
	mu.Unlock()
	b.run()
	b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
	attempts := map[any]bool{}
	for _, a := range b.plane.Arrivals("/join/aws-iid") {
		require.Equal(t, "signed", a.Body["signature"])
		attempts[a.Body["attempt"]] = true
	}
	require.Len(t, attempts, 1)
}
