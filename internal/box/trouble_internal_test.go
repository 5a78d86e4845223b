package box

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/spool"
)

// TestDiskThatTakesNothing: on a full disk, and on one that is read-only, the agent registers,
// reports a notice and runs its hooks once, and its status names the disk.
func TestDiskThatTakesNothing(t *testing.T) {
	t.Parallel()
	for disk, says := range map[string]string{"full": "no space left", "read-only": "read-only file system"} {
		t.Run(disk, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.disk = disk
			b.hook("notice/10-tell", "")
			b.hook("drain/10-stop", "")
			b.start("")
			b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
			b.eventually(func() bool { return strings.Contains(b.status().DiskError, says) })
			b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
			b.eventually(b.allDone)
			require.Len(t, b.plane.Arrivals("/termination-imminent"), 1)
			require.Equal(t, map[string]int{"notice/10-tell": 0, "drain/10-stop": 0}, b.reportedHooks())
			require.Len(t, b.traces(), 4)
			require.Contains(t, b.status().DiskError, says)
		})
	}
}

// TestMetadataServiceInTrouble: whatever the service answers meanwhile, the agent takes none of
// it for a notice, and has the notice when the service is well again.
func TestMetadataServiceInTrouble(t *testing.T) {
	t.Parallel()
	for name, trouble := range map[string]struct{ begin, end func(m *boxtest.IMDS) }{
		"401": {(*boxtest.IMDS).Revoke, func(*boxtest.IMDS) {}},
		"401 for tokens": {
			func(m *boxtest.IMDS) { m.Revoke(); m.RefuseTokens(http.StatusUnauthorized) },
			func(m *boxtest.IMDS) { m.RefuseTokens(0) },
		},
		"403 for tokens, switched off": {
			func(m *boxtest.IMDS) { m.Revoke(); m.RefuseTokens(http.StatusForbidden) },
			func(m *boxtest.IMDS) { m.RefuseTokens(0) },
		},
		"404": {func(*boxtest.IMDS) {}, func(*boxtest.IMDS) {}},
		"503": {func(m *boxtest.IMDS) { m.Fail(1 << 20) }, func(m *boxtest.IMDS) { m.Fail(0) }},
		"slow": {
			func(m *boxtest.IMDS) { m.Slow(150 * time.Millisecond) }, func(*boxtest.IMDS) {},
		},
		"no answer": {
			func(m *boxtest.IMDS) { m.Hang(imds.InstanceAction) }, func(m *boxtest.IMDS) { m.Answer(imds.InstanceAction) },
		},
		"no token, as behind one hop": {
			func(m *boxtest.IMDS) { m.Revoke(); m.Hang("api/token") }, func(m *boxtest.IMDS) { m.Answer("api/token") },
		},
		"empty":  {func(m *boxtest.IMDS) { m.Set(imds.InstanceAction, "") }, func(*boxtest.IMDS) {}},
		"blanks": {func(m *boxtest.IMDS) { m.Set(imds.InstanceAction, " \n") }, func(*boxtest.IMDS) {}},
		"a page": {
			func(m *boxtest.IMDS) { m.Set(imds.InstanceAction, "<html><body>Please log in</body></html>") },
			func(*boxtest.IMDS) {},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			b.s.IMDS.Timeout = 400 * time.Millisecond
			b.run()
			b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
			trouble.begin(b.imds)
			before := b.imds.Reads()
			b.eventually(func() bool {
				now := b.imds.Reads()
				return now[imds.InstanceAction]+now["api/token"] > before[imds.InstanceAction]+before["api/token"]+1
			})
			require.Empty(t, b.status().Notices)
			b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
			trouble.end(b.imds)
			b.eventually(b.allDone)
			require.Len(t, b.plane.Arrivals("/termination-imminent"), 1)
		})
	}
}

// TestNoInstance: an answer that names no instance is no identity, and nothing is registered.
func TestNoInstance(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"<html>login</html>", "hello", "", strings.Repeat("i-", 99)} {
		b := newBox(t)
		b.imds.Set("meta-data/instance-id", answer)
		b.run()
		b.eventually(func() bool { return b.status().Metadata["identity"].Failures > 2 })
		require.Empty(t, b.plane.Arrivals("/register"))
		b.imds.Set("meta-data/instance-id", "i-1")
		b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
	}
}

// TestWrongClock: an instance whose clock is wrong by a minute or an hour reports the deadline
// that the metadata service names, and gives its hooks the time that is really left. After a
// restart as well: the spool's time is one of another clock.
func TestWrongClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{time.Minute, -time.Minute, time.Hour, -time.Hour} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted %t", ahead, restarted), func(t *testing.T) {
				t.Parallel()
				b := newBox(t)
				b.hook("notice/10-left", "echo $SPOTKEEPER_SECONDS_LEFT > "+b.dir+"/left")
				b.imds.SetClock(ahead)
				deadline := time.Now().Add(ahead + 100*time.Second)
				b.imds.Interrupt("terminate", deadline)
				if restarted {
					require.Error(t, b.start("spooled").Wait())
					b.setSpooledEnd(deadline)
				}
				b.run()
				b.eventually(b.allDone)
				left, err := os.ReadFile(b.dir + "/left")
				require.NoError(t, err)
				seconds, err := strconv.Atoi(strings.TrimSpace(string(left)))
				require.NoError(t, err)
				require.InDelta(t, 70, seconds, 31, "of a hundred seconds")
				reports := b.plane.Arrivals("/termination-imminent")
				require.Len(t, reports, 1)
				require.Equal(t, deadline.UTC().Format(time.RFC3339), reports[0].Body["termination_time"])
			})
		}
	}
}

// setSpooledEnd makes the notice on disk one whose end was written by another clock.
func (b *box) setSpooledEnd(end time.Time) {
	b.t.Helper()
	store, err := spool.Open(b.s.StateDir)
	require.NoError(b.t, err)
	found, err := store.Load()
	require.NoError(b.t, err)
	require.Len(b.t, found, 1)
	found[0].End = end
	require.NoError(b.t, store.Save(found[0]))
}
