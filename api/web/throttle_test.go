package web_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/web"
)

var attack = flag.Duration("attack", 2*time.Minute,
	"how long the attackers of TestFailuresAreBounded go on; `make large` takes 10m")

// attackers are ways to spread 1,000 attempts a second over addresses, with the limit that
// bounds the attempts that are answered as such.
var attackers = map[string]struct {
	address func(n int) string
	limit   limit
}{
	"one address":                  {func(int) string { return "192.0.2.7" }, ofAnAddress},
	"one address, mapped":          {func(int) string { return "::ffff:192.0.2.7" }, ofAnAddress},
	"all addresses of one /64":     {func(n int) string { return fmt.Sprintf("2001:db8:1:2::%x", n%65536) }, ofAnAddress},
	"1,000 addresses":              {func(n int) string { return fmt.Sprintf("10.1.%d.%d", n%1000/250, n%250) }, ofAll},
	"1,000 networks of IPv6":       {func(n int) string { return fmt.Sprintf("2001:db8:0:%x::1", n%1000) }, ofAll},
	"a new address for each":       {func(n int) string { return fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255) }, ofAll},
	"addresses by chance":          {func(int) string { return fmt.Sprintf("2001:db8:%x::1", rand.IntN(1<<16)) }, ofAll},
	"what is no address, together": {func(int) string { return "" }, ofAnAddress},
}

// limit is how many attempts are answered at once, and per second afterwards.
type limit struct{ atOnce, perSecond float64 }

var ofAnAddress, ofAll = limit{30, .5}, limit{400, 20}

// TestFailuresAreBounded: however an attacker spreads 1,000 attempts a second over
// addresses, it gets a bounded number of answers. More addresses come than the table has
// room for.
func TestFailuresAreBounded(t *testing.T) {
	t.Parallel()
	for name, attacker := range attackers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
			gate := web.NewThrottle(func() time.Time { return now })
			answered := 0
			for n := range int(attack.Milliseconds()) {
				now = now.Add(time.Millisecond)
				if gate.Fail(attacker.address(n)) {
					answered++
				}
			}
			most := int(attacker.limit.atOnce + attacker.limit.perSecond*attack.Seconds())
			require.LessOrEqual(t, answered, most+1)
			require.Greater(t, answered, most/2, "a broken agent is still answered with the reason")
		})
	}
}
