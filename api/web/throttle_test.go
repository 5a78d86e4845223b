package web_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
)

// attackers are ways to spread 1,000 attempts a second over addresses, with the most
// attempts that are answered as such in ten minutes.
var attackers = map[string]struct {
	address func(n int) string
	most    int
}{
	"one address":                  {func(int) string { return "192.0.2.7" }, 30 + 300},
	"one address, mapped":          {func(int) string { return "::ffff:192.0.2.7" }, 30 + 300},
	"all addresses of one /64":     {func(n int) string { return fmt.Sprintf("2001:db8:1:2::%x", n%65536) }, 30 + 300},
	"1,000 addresses":              {func(n int) string { return fmt.Sprintf("10.1.%d.%d", n%1000/250, n%250) }, 400 + 12_000},
	"1,000 networks of IPv6":       {func(n int) string { return fmt.Sprintf("2001:db8:0:%x::1", n%1000) }, 400 + 12_000},
	"a new address for each":       {func(n int) string { return fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255) }, 400 + 12_000},
	"addresses by chance":          {func(int) string { return fmt.Sprintf("2001:db8:%x::1", rand.IntN(1<<16)) }, 400 + 12_000},
	"what is no address, together": {func(int) string { return "" }, 30 + 300},
}

// TestFailuresAreBounded: however an attacker spreads 1,000 attempts a second over
// addresses, it gets a bounded number of answers in ten minutes.
func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	for name, attacker := range attackers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
			gate := web.NewThrottle(func() time.Time { return now })
			answered := 0
			for n := range 10 * 60 * 1000 {
				now = now.Add(time.Millisecond)
				if gate.Fail(attacker.address(n)) {
					answered++
				}
			}
			require.LessOrEqual(t, answered, attacker.most+1)
			require.Greater(t, answered, attacker.most/2, "a broken agent is still answered with the reason")
		})
	}
}
