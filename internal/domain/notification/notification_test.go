package notification_test

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/notification"
)

func TestSinksAreJudged(t *testing.T) {
	t.Parallel()

	for given, want := range map[notification.NewNotification]fault.Code{
		{Kind: notification.Webhook, URL: "https://hooks.example/x?y=1"}:                "",
		{Kind: notification.Webhook, URL: "http://203.0.113.9:8080/"}:                   "",
		{Kind: notification.Log, URL: "ignored"}:                                        "",
		{Kind: notification.Webhook, URL: "https://x.example", MinSeverity: "critical"}: "",
		{Kind: notification.Webhook, URL: "https://x.example", MinSeverity: "loud"}:     notification.BadSink,
		{Kind: "mail"}:                                                       notification.BadSink,
		{Kind: notification.Webhook}:                                         notification.BadSink,
		{Kind: notification.Webhook, URL: "/relative"}:                       notification.BadSink,
		{Kind: notification.Webhook, URL: "ftp://x.example"}:                 notification.BadSink,
		{Kind: notification.Webhook, URL: "file:///etc/passwd"}:              notification.BadSink,
		{Kind: notification.Webhook, URL: "https://a:b@x.example"}:           notification.BadSink,
		{Kind: notification.Webhook, URL: "https://x.example/\r\nHost: y"}:   notification.BadSink,
		{Kind: notification.Webhook, URL: "http://localhost:5000/"}:          notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://LOCALHOST./"}:              notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://127.0.0.1/"}:               notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://[::ffff:169.254.169.254]"}: notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://169.254.169.254/latest"}:   notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://[fd00:ec2::254]/"}:         notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://[fe80::1%25eth0]/"}:        notification.ForbiddenTo,
		{Kind: notification.Webhook, URL: "http://10.0.0.1/"}:                notification.ForbiddenTo,
	} {
		err := given.Normalize(nil)
		require.Equal(t, want, fault.CodeOf(err), "%+v: %v", given, err)
		if err == nil {
			require.NotEmpty(t, given.MinSeverity)
		}
	}
	inside := notification.NewNotification{Kind: notification.Webhook, URL: "http://10.1.2.3/"}
	require.NoError(t, inside.Normalize([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}))
}

func TestReachable(t *testing.T) {
	t.Parallel()

	for addr, want := range map[string]bool{
		"93.184.216.34":      true,
		"2606:2800:220:1::1": true,
		"0.0.0.0":            false,
		"127.9.9.9":          false,
		"10.0.0.1":           false,
		"172.16.0.1":         false,
		"192.168.1.1":        false,
		"169.254.169.254":    false,
		"100.100.100.200":    false,
		"224.0.0.1":          false,
		"255.255.255.255":    false,
		"::":                 false,
		"::1":                false,
		"fe80::1":            false,
		"fc00::1":            false,
		"ff02::1":            false,
		"::ffff:10.0.0.1":    false,
		"64:ff9b::a9fe:a9fe": false,
		"64:ff9b:1::a00:1":   false, // translated by a network of one's own
		"::a9fe:a9fe":        false, // an address of IPv4 in the oldest form
		"::ffff:0:a00:1":     false,
		"fec0::1":            false, // site-local
		"2001::a00:1":        false, // Teredo
		"2002:a00:1::":       false, // 6to4
		"192.88.99.1":        false, // 6to4 relays
		"2001:db8::1":        false,
		"3fff::1":            false,
		"100::1":             false,
		"2600:1f14::1":       true,
	} {
		require.Equal(t, want, notification.Reachable(netip.MustParseAddr(addr), nil), addr)
	}
}

func TestSeveritiesAreOrdered(t *testing.T) {
	t.Parallel()

	require.Equal(t, []notification.Severity{"error", "critical"}, notification.Error.From())
	require.Len(t, notification.Info.From(), 4)
	require.Nil(t, notification.Severity("").From())
}

func TestBackOffGrows(t *testing.T) {
	t.Parallel()

	require.Zero(t, notification.BackOff(0))
	require.Equal(t, 10*time.Second, notification.BackOff(1))
	total := time.Duration(0)
	for n := 1; n < notification.MaxAttempts; n++ {
		require.GreaterOrEqual(t, notification.BackOff(n+1), notification.BackOff(n))
		total += notification.BackOff(n)
	}
	require.Greater(t, total, 24*time.Hour)
	require.Equal(t, notification.BackOff(50), notification.BackOff(5000))
}

// TestSign holds the signature to the specification's own example.
func TestSign(t *testing.T) {
	t.Parallel()

	got, err := notification.Sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
		time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	require.NoError(t, err)
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", got)

	secret, err := notification.NewSecret(bytes.NewReader(make([]byte, 32)))
	require.NoError(t, err)
	require.Regexp(t, `^whsec_`, secret)
	_, err = notification.NewSecret(bytes.NewReader(nil))
	require.Error(t, err)
}
