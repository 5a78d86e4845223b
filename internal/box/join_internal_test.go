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
