package box

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/imds"
)

func TestAgentRegistersAndBeats(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.imds.Set("meta-data/public-ipv4", "1.2.3.4")
	b.run()
	b.eventually(func() bool { return len(b.plane.Arrivals("/heartbeat")) > 1 })
	r := b.plane.Arrivals("/register")[0]
	host, err := os.Hostname()
	require.NoError(t, err)
	require.Equal(t, map[string]any{
		"logical_agent_id": "web",
		"hostname":         host,
		"instance_id":      "i-1",
		"instance_type":    "t3.medium",
		"region":           "us-east-1",
		"az":               "us-east-1a",
		"ami_id":           "ami-1",
		"mode":             "spot",
		"agent_version":    "5.0.0-test",
		"private_ip":       "10.0.0.10",
		"public_ip":        "1.2.3.4",
	}, r.Body)
	require.Equal(t, "secret", r.Token)
	beat := b.plane.Arrivals("/heartbeat")[0]
	require.Equal(t, "/api/agents/agent-1/heartbeat", beat.Path)
	require.Equal(t, "online", beat.Body["status"])

	// A control plane that has forgotten the agent is given its registration again.
	var known atomic.Bool
	b.plane.Answer(func(a boxtest.Arrival) (int, string) {
		if filepath.Base(a.Path) == "register" {
			known.Store(true)
		}
		if !known.Load() {
			return http.StatusNotFound, `{"error":"Agent not found","code":"agent.not_found"}`
		}
		return 0, ""
	})
	b.eventually(func() bool { return len(b.plane.Arrivals("/register")) == 2 })
	b.eventually(func() bool { return b.status().BeatError == "" })
}

// TestNoticeThroughTrouble: what the metadata service does wrong delays a notice,
// and loses none.
func TestNoticeThroughTrouble(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.imds.Fail(7)
	b.imds.Hang(imds.Rebalance)
	b.imds.Hang(imds.Maintenance)
	b.run()
	b.eventually(func() bool { return b.imds.Reads()[imds.InstanceAction] > 3 })
	b.imds.Revoke()
	b.imds.Fail(3)
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	b.eventually(b.allDone)
	require.Len(t, b.plane.Arrivals("/termination-imminent"), 1,
		"one notice is reported once, however often it is read")
}

// TestReportIsRepeatedUntilItIsAcknowledged, and the drain waits for a successor.
func TestReportIsRepeatedUntilItIsAcknowledged(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("notice/10-tell", "")
	b.hook("drain/10-stop", "")
	var reports atomic.Int64
	var successor atomic.Bool
	b.plane.Answer(func(a boxtest.Arrival) (int, string) {
		if filepath.Base(a.Path) != "termination-imminent" {
			return 0, ""
		}
		switch {
		case reports.Add(1) == 1:
			return http.StatusServiceUnavailable, `{"error":"later","code":"temporal.unavailable"}`
		case !successor.Load():
			return http.StatusOK, `{"success":true,"action":"failover_in_progress"}`
		}
		return 0, ""
	})
	b.run()
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	b.eventually(func() bool { return len(b.traces()) == 2 })
	b.eventually(func() bool { return reports.Load() > 2 })
	require.Equal(t, []string{"begin notice/10-tell", "end notice/10-tell"}, b.traces(),
		"nothing is drained while this instance alone can work")
	successor.Store(true)
	b.eventually(b.allDone)
	require.Contains(t, b.traces(), "end drain/10-stop")
}

// TestControlPlaneIsAway: the workload is drained all the same when time runs out.
func TestControlPlaneIsAway(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.s.Hooks.Budget = 1900 * time.Millisecond
	b.hook("notice/10-tell", "")
	b.hook("drain/10-stop", "echo $SPOTKEEPER_SECONDS_LEFT > "+b.dir+"/left")
	b.plane.Close()
	b.run()
	b.eventually(func() bool { return b.imds.Reads()[imds.InstanceAction] > 0 })
	b.imds.Interrupt("terminate", time.Now().Add(6*time.Second))
	b.eventually(func() bool { return len(b.traces()) == 4 })
	left, err := os.ReadFile(b.dir + "/left")
	require.NoError(t, err)
	require.Contains(t, []string{"0\n", "1\n"}, string(left), "the drain began when there was just enough time")
	require.Empty(t, b.status().AgentID)
}

// TestHibernationBeginsAtOnce: the deadline lies in the past, and hooks get a second.
func TestHibernationBeginsAtOnce(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("drain/10-stop", "")
	b.run()
	b.imds.Interrupt("hibernate", time.Now().Add(-time.Second))
	b.eventually(b.allDone)
	require.Equal(t, []string{"begin drain/10-stop", "end drain/10-stop"}, b.traces())
	require.Equal(t, "hibernate", b.status().Notices[0].Action)
	require.Equal(t, "hibernate", b.plane.Arrivals("/termination-imminent")[0].Body["action"])
}

func TestNoticeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.imds.Set(imds.InstanceAction, "terminate soon")
	b.run()
	b.eventually(b.allDone)
	reports := b.plane.Arrivals("/termination-imminent")
	require.Len(t, reports, 1)
	require.NotContains(t, reports[0].Body, "termination_time")
}

func TestRebalance(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("rebalance/10-tell", "")
	b.run()
	at := time.Now().UTC()
	for n := range 2 {
		b.imds.Set(imds.Rebalance,
			fmt.Sprintf(`{"noticeTime":%q}`, at.Add(time.Duration(n)*time.Hour).Format(time.RFC3339)))
		b.eventually(func() bool { return len(b.status().Notices) == n+1 && b.allDone() })
	}
	require.Len(t, b.plane.Arrivals("/rebalance-recommendation"), 2, "a later recommendation is another one")
	require.Empty(t, b.plane.Arrivals("/termination-imminent"))
}

// TestStateOfAnotherInstance: an image brings along what the agent of its source has left.
func TestStateOfAnotherInstance(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.hook("notice/10-tell", "")
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	require.Error(t, b.start("spooled").Wait())
	b.imds.Set("meta-data/instance-id", "i-2")
	b.imds.Clear(imds.InstanceAction)
	b.run()
	b.eventually(func() bool { got := b.status(); return got.Identity.InstanceID == "i-2" && !got.LastBeat.IsZero() })
	require.Empty(t, b.status().Notices)
	require.Empty(t, b.plane.Arrivals("/termination-imminent"))
	require.Empty(t, b.traces())
	left, err := os.ReadDir(filepath.Join(b.s.StateDir, "notices"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestWithoutADisk: where nothing can be written the agent registers and reports all the same.
func TestWithoutADisk(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	file := filepath.Join(b.dir, "not-a-directory")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	b.s.StateDir = filepath.Join(file, "state")
	b.hook("notice/10-tell", "")
	b.run()
	b.eventually(func() bool { return !b.status().LastBeat.IsZero() })
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	b.eventually(b.allDone)
	require.Len(t, b.plane.Arrivals("/termination-imminent"), 1)
	require.Equal(t, []string{"begin notice/10-tell", "end notice/10-tell"}, b.traces())
}

// TestDamagedState: an agent whose files were cut by a crash of the machine starts anew,
// and reads the notice that still stands.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
	require.Error(t, b.start("spooled").Wait())
	for _, name := range []string{"agent.json", "notices/termination-notice-i-1-1.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(b.s.StateDir, name), []byte(`{"id":`), 0o600))
	}
	left, err := filepath.Glob(filepath.Join(b.s.StateDir, "notices", "*.json"))
	require.NoError(t, err)
	for _, name := range left {
		require.NoError(t, os.Truncate(name, 5))
	}
	b.run()
	b.eventually(b.allDone)
	require.Len(t, b.plane.Arrivals("/termination-imminent"), 1)
}

// TestReadinessHoldsTheRegistration: a standby whose workload still starts is not offered
// to the control plane. A notice does not wait for it.
func TestReadinessHoldsTheRegistration(t *testing.T) {
	t.Parallel()
	for _, noticed := range []bool{false, true} {
		t.Run(fmt.Sprintf("noticed %t", noticed), func(t *testing.T) {
			t.Parallel()
			b := newBox(t)
			var well atomic.Bool
			var asked atomic.Int64
			workload := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				asked.Add(1)
				if !well.Load() {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			}))
			t.Cleanup(workload.Close)
			b.s.Ready.HTTP, b.s.Ready.Every = workload.URL, time.Millisecond
			b.hook("ready/10-tell", "")
			b.run()
			b.eventually(func() bool { return asked.Load() > 5 })
			require.Empty(t, b.plane.Arrivals("/register"))
			if noticed {
				b.imds.Interrupt("terminate", time.Now().Add(2*time.Minute))
				b.eventually(b.allDone)
				require.Empty(t, b.traces())
				return
			}
			well.Store(true)
			b.eventually(func() bool { return len(b.plane.Arrivals("/register")) == 1 && len(b.traces()) == 2 })
			require.True(t, b.status().Ready.Ready)
		})
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.s.Ready.Manual = true
	b.hook("drain/10-waits", "while true; do sleep 0.02; done")
	b.hook("ready/10-tell", "")
	b.run()
	ask := func(path string, in any) error {
		var said string
		return AskAgent(t.Context(), b.s.Socket, "POST", path, in, &said)
	}
	b.eventually(func() bool { return b.status().Identity.InstanceID != "" })
	require.Empty(t, b.plane.Arrivals("/register"))
	require.NoError(t, ask("/ready", nil))
	b.eventually(func() bool { return len(b.plane.Arrivals("/register")) == 1 && len(b.traces()) == 2 })

	require.NoError(t, ask("/drain", nil))
	b.eventually(func() bool { return len(b.traces()) == 3 })
	require.ErrorContains(t, ask("/drain", nil), "under way already")
	require.NoError(t, ask("/drained", nil))
	b.eventually(b.allDone)

	require.ErrorContains(t, ask("/notice", Rehearsal{Seconds: 0}), "1 to 600 seconds")
	require.NoError(t, ask("/notice", Rehearsal{Seconds: 120}))
	require.ErrorContains(t, ask("/notice", Rehearsal{Seconds: 60}), "under way already")
	b.eventually(func() bool { return len(b.traces()) == 4 })
	require.NoError(t, ask("/drained", nil))
	b.eventually(b.allDone)
	require.Empty(t, b.plane.Arrivals("/termination-imminent"), "a rehearsal is not reported")
	require.NoError(t, ask("/notice", Rehearsal{Seconds: 120, Report: true}))
	b.eventually(func() bool { return len(b.plane.Arrivals("/termination-imminent")) == 1 })
	b.eventually(func() bool { return len(b.traces()) == 5 })
	require.NoError(t, ask("/drained", nil))
	b.eventually(b.allDone)
}

// TestOneAgentPerSocket: a second agent ends, and does not take the first one's socket.
func TestOneAgentPerSocket(t *testing.T) {
	t.Parallel()
	b := newBox(t)
	b.run()
	b.eventually(func() bool { return b.status().PID != 0 })
	second := b.start("")
	require.Error(t, second.Wait())
	require.Equal(t, os.Getpid(), b.status().PID)
}
