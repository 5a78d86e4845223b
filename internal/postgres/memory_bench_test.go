package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// memory is the most that this process and the backends of its server held at one
// time, without what backends share. Where there is no /proc it is 0.
type memory struct {
	process, backends int
	done              chan struct{}
	ended             chan struct{}
}

// remember begins to watch.
func (g *guarded) remember() *memory {
	g.t.Helper()
	m := &memory{done: make(chan struct{}), ended: make(chan struct{})}
	backend := one[int](g, `SELECT pg_backend_pid()`)
	_, server := held(backend)
	go func() {
		defer close(m.ended)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			m.look(server)
			select {
			case <-m.done:
				return
			case <-tick.C:
			}
		}
	}()
	return m
}

func (m *memory) stop() {
	close(m.done)
	<-m.ended
}

func (m *memory) look(server int) {
	mine, _ := held(os.Getpid())
	m.process = max(m.process, mine)
	files, _ := filepath.Glob("/proc/[0-9]*")
	sum := 0
	for _, f := range files {
		pid, _ := strconv.Atoi(filepath.Base(f))
		if bytes, parent := held(pid); parent == server && server > 1 {
			sum += bytes
		}
	}
	m.backends = max(m.backends, sum)
}

// held reads what a process holds for itself, in bytes, and its parent.
func held(pid int) (bytes, parent int) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(raw)) {
		if kib, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.Atoi(strings.Fields(kib)[0])
			bytes = n << 10
		}
		if up, ok := strings.CutPrefix(line, "PPid:"); ok {
			parent, _ = strconv.Atoi(strings.TrimSpace(up))
		}
	}
	return bytes, parent
}
