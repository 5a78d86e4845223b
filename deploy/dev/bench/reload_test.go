package bench

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
)

// swaps is how many engines are uploaded one after the other.
const swaps = 8

const stays = `
def make_decision(agent_data, pricing_data, market_data=None):
    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "engine %d"}
`

// BenchmarkReload uploads engines that become live at once, and measures when each
// of two api and two worker processes decides with them.
func BenchmarkReload(b *testing.B) {
	s := devtest.Start(b, devtest.Options{OnDisk: true, Environment: map[string]string{"ENGINE_PYTHON": "on"}})
	ctx := b.Context()
	processes := map[string]string{devtest.API: s.APIMetrics, devtest.Worker: s.WorkerMetrics}
	for _, part := range []string{devtest.API, devtest.Worker} {
		name := part + "-2"
		address, err := s.Beside(ctx, part, name, nil)
		require.NoError(b, err)
		processes[name] = address
	}
	heading(b, fmt.Sprintf("Reload, 2 api and 2 worker processes, %d Python engines (≤ 5 s)", swaps))
	before := cpu(s)
	var uploads, last sample
	each := map[string]sample{}
	for i := range swaps {
		begun := time.Now()
		var answer struct{ SessionID string }
		status, err := s.Upload(ctx, "/api/admin/decision-engine/upload", "engine.py", fmt.Appendf(nil, stays, i),
			&answer)
		require.NoError(b, err)
		require.Equal(b, 200, status)
		answered := time.Now()
		uploads = append(uploads, answered.Sub(begun))
		var mu sync.Mutex
		var followed sample
		var wg sync.WaitGroup
		for name, address := range processes {
			wg.Go(func() {
				tick := time.NewTicker(50 * time.Millisecond) // each look costs the process something
				defer tick.Stop()
				for ctx.Err() == nil {
					_, now, err := devtest.Decides(ctx, address)
					if err == nil && now == answer.SessionID {
						break
					}
					<-tick.C
				}
				mu.Lock()
				defer mu.Unlock()
				took := time.Since(answered)
				each[name], followed = append(each[name], took), append(followed, took)
			})
		}
		wg.Wait()
		last = append(last, slices.Max(followed))
	}
	show(b, "upload → answer, validation included", "%v", uploads)
	for _, name := range []string{devtest.API, devtest.API + "-2", devtest.Worker, devtest.Worker + "-2"} {
		show(b, "answer → "+name+" decides with it", "%v", each[name])
	}
	show(b, "answer → all four decide with it", "%v", last)
	show(b, "CPU per swap (the first processes)", "%s", cpu(s).per(before, swaps))
}
