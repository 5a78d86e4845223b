package web

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestANoticeIsNotLostForTheFormOfItsTime: a moment is read in each form in which agents send it. Any
// other value counts as not given, and never refuses the notice.
func TestANoticeIsNotLostForTheFormOfItsTime(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 11, 22, 10, 47, 0, 0, time.UTC)
	for value, want := range map[string]time.Time{
		`"2026-11-22T10:47:00Z"`:              at,
		`"2026-11-22T10:47:00"`:               at,
		`"2026-11-22T12:47:00+02:00"`:         at,
		`"2026-11-22T10:47:00.000Z"`:          at,
		`1795344420`:                          at,
		`1795344420000`:                       at,
		`1795344420.0`:                        at,
		`""`:                                  {},
		`null`:                                {},
		`0`:                                   {},
		`-1`:                                  {},
		`1e300`:                               {},
		`1e999`:                               {},
		`true`:                                {},
		`{}`:                                  {},
		`["2026-11-22T10:47:00Z"]`:            {},
		`"soon"`:                              {},
		`"٢٠٢٦"`:                              {},
		`"2026-11-22 10:47:00"`:               at,
		`"2026-02-30T10:47:00Z"`:              {},
		`"2026-11-22T24:00:00Z"`:              {},
		`"2026-W47-7"`:                        {},
		`"2026-11-22"`:                        {},
		`"1795344420"`:                        {},
		`"Sun, 22 Nov 2026 10:47:00"`:         {},
		`"` + strings.Repeat("9", 5000) + `"`: {},
		`"2026-11-22t10:47:00z"`:              at,
		`"2026-11-23T00:47:00+14:00"`:         at,
		`"2026-11-22T10:47:00-00:00"`:         at,
	} {
		var notice struct {
			At *NoticeTime `json:"termination_time"`
			ID string      `json:"instance_id"`
		}
		require.NoError(t, json.Unmarshal([]byte(`{"termination_time":`+value+`,"instance_id":"i-1"}`), &notice), value)
		require.Equal(t, want, notice.At.OrZero().UTC(), value)
		require.Equal(t, "i-1", notice.ID, value)
	}
}
