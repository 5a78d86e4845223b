package door_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/door"
)

// serve answers through a door until the test ends, and returns the address.
func serve(t *testing.T, limits door.Limits, reg prometheus.Registerer, h http.HandlerFunc) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := door.New(limits, reg)
	srv := d.Server(h, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(d.Listen(ln)) }()
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return ln.Addr().String()
}

// dial opens a connection and sends the beginning of a request.
func dial(t *testing.T, address, begin string) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, begin)
	require.NoError(t, err)
	return c
}

// status is the status line of the answer on a connection; empty when it was closed.
func status(t *testing.T, c net.Conn) string {
	t.Helper()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		return ""
	}
	return strings.TrimSpace(line)
}

// answerWith reads the body as routes do.
func answerWith(limit int64, known bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if known {
			door.Admit(r.Context(), "a1", "c1")
		}
		body, err := door.ReadBody(w, r, limit, door.Caller{Name: map[bool]string{true: "a1"}[known], Address: "192.0.2.1"})
		var large *http.MaxBytesError
		switch {
		case errors.As(err, &large):
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		case fault.Is(err, door.Busy):
			w.WriteHeader(http.StatusServiceUnavailable)
		case fault.Is(err, door.TooSlow):
			w.WriteHeader(http.StatusRequestTimeout)
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		default:
			_, _ = w.Write(body)
		}
	}
}

func beat(client *http.Client, address string) error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost,
		"http://"+address+"/beat", strings.NewReader("alive"))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if body, err := io.ReadAll(res.Body); err != nil || string(body) != "alive" {
		return fmt.Errorf("%d %q: %w", res.StatusCode, body, err)
	}
	return nil
}

// TestSlowConnectionsMakeRoom: 2,000 connections drip into a door of 500, half in the
// header and half in the body, and each heartbeat beside them is answered.
func TestSlowConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	const most, slow, beats = 500, 2000, 300
	reg := prometheus.NewRegistry()
	address := serve(t, door.Limits{
		Conns:      most,
		HeaderTime: time.Hour,
		BodyTime:   time.Hour,
	}, reg, answerWith(1<<10, false))

	var wg sync.WaitGroup
	for part := range 4 {
		wg.Go(func() {
			for i := range slow / 4 {
				begin := "POST /beat HTTP/1.1\r\nHost: x\r\nX-Slow: "
				if i%2 == 0 {
					begin = "POST /beat HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n"
				}
				c := dial(t, address, begin)
				if part == 0 { // these go on dripping
					go func() {
						for {
							if _, err := io.WriteString(c, "x"); err != nil {
								return
							}
							if !pause(t.Context(), 100*time.Millisecond) {
								return
							}
						}
					}()
				}
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // as the deployed agents do
	for i := range beats {
		require.NoError(t, beat(client, address), "heartbeat %d", i)
	}
	wg.Wait()
	for i := range beats {
		require.NoError(t, beat(client, address), "heartbeat %d beside all slow connections", i)
	}
	require.LessOrEqual(t, gauge(t, reg, "spotkeeper_http_connections"), float64(most))
}

// pause waits, or returns false when the test has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// gauge is the value of a registered gauge.
func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Failf(t, "no metric", "%s", name)
	return 0
}

// TestOneThatIsAnsweredIsNotCutOff: a known caller keeps its connection while others
// come, and is answered when its body is complete.
func TestOneThatIsAnsweredIsNotCutOff(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	known := answerWith(1<<10, true)
	address := serve(t, door.Limits{Conns: 2}, nil, func(w http.ResponseWriter, r *http.Request) {
		door.Admit(r.Context(), "a1", "c1")
		entered <- struct{}{}
		known(w, r)
	})

	mine := dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
	<-entered
	var others []net.Conn
	for range 5 {
		others = append(others, dial(t, address, "POST / HTTP/1.1\r\nHost:"))
	}
	for _, c := range others[:4] {
		require.Empty(t, status(t, c), "the one that waited longest made room")
	}
	_, err := io.WriteString(mine, "cd")
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 200 OK", status(t, mine))
}

// TestAKnownCallerKeepsAShare: one who has a good token and sends slowly on many
// connections keeps its share of them, and makes room with the others.
func TestAKnownCallerKeepsAShare(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	known := answerWith(1<<10, false)
	address := serve(t, door.Limits{Conns: 4, PerCaller: 2}, nil, func(w http.ResponseWriter, r *http.Request) {
		owner, _, _ := strings.Cut(r.Header.Get("X-From"), " ")
		door.Admit(r.Context(), r.Header.Get("X-From"), owner)
		entered <- struct{}{}
		known(w, r)
	})
	slow := func(from string) net.Conn {
		c := dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nX-From: "+from+"\r\nContent-Length: 4\r\n\r\nab")
		<-entered
		return c
	}
	var thief []net.Conn
	for range 4 {
		thief = append(thief, slow("thief"))
	}
	first, second := slow("good"), slow("good")
	require.Empty(t, status(t, thief[2]), "it is beyond the share and made room")
	require.Empty(t, status(t, thief[3]), "it is beyond the share and made room")
	for _, c := range []net.Conn{first, second, thief[0], thief[1]} {
		_, err := io.WriteString(c, "cd")
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 200 OK", status(t, c))
	}
}

// TestAnOwnerOfManyCallersKeepsAShare: with a new credential for each connection, an owner
// keeps no more of them than one owner may.
func TestAnOwnerOfManyCallersKeepsAShare(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	address := serve(t, door.Limits{Conns: 6, PerCaller: 2, PerOwner: 3}, nil, func(w http.ResponseWriter, r *http.Request) {
		owner, _, _ := strings.Cut(r.Header.Get("X-From"), " ")
		door.Admit(r.Context(), r.Header.Get("X-From"), owner)
		entered <- struct{}{}
		answerWith(1<<10, false)(w, r)
	})
	slow := func(from string) net.Conn {
		c := dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nX-From: "+from+"\r\nContent-Length: 4\r\n\r\nab")
		<-entered
		return c
	}
	var thief []net.Conn
	for n := range 6 {
		thief = append(thief, slow(fmt.Sprintf("thief %d", n)))
	}
	good := []net.Conn{slow("good 1"), slow("good 2"), slow("good 3")}
	for _, c := range thief[3:] {
		require.Empty(t, status(t, c), "it is beyond the share and made room")
	}
	for _, c := range append(good, thief[:3]...) {
		_, err := io.WriteString(c, "cd")
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 200 OK", status(t, c))
	}
}

// TestOneThatReadsSlowlyMakesRoom: an unknown caller who asks for a long answer and does
// not read it makes room for others, and a known one does not.
func TestOneThatReadsSlowlyMakesRoom(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}, 4), make(chan string, 4)
	address := serve(t, door.Limits{Conns: 2, WriteTime: time.Hour}, nil, func(w http.ResponseWriter, r *http.Request) {
		from := r.Header.Get("X-From")
		if from != "" {
			door.Admit(r.Context(), from, from)
		}
		if r.URL.Path == "/short" {
			return
		}
		begun <- struct{}{}
		for {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				ended <- from
				return
			}
		}
	})
	unread := func(from string) {
		dial(t, address, "GET /long HTTP/1.1\r\nHost: x\r\nX-From: "+from+"\r\n\r\n")
		<-begun
	}
	unread("known")
	unread("")
	short := dial(t, address, "GET /short HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.Empty(t, <-ended, "the unknown one was cut off")
	require.Equal(t, "HTTP/1.1 200 OK", status(t, short))
	require.Empty(t, ended, "the known one was not")
}

// TestIdleConnectionsMakeRoom: connections that wait for their next request are closed
// before a new one is refused.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	const most = 50
	reg := prometheus.NewRegistry()
	address := serve(t, door.Limits{Conns: most, IdleTime: time.Hour}, reg, answerWith(1<<10, false))
	for range 10 * most {
		c := dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.Equal(t, "HTTP/1.1 200 OK", status(t, c))
	}
	require.LessOrEqual(t, gauge(t, reg, "spotkeeper_http_connections"), float64(most))
}

// TestOtherProtocolsAreRefused: without TLS only HTTP/1 is spoken, so that no connection
// carries many requests past the limits.
func TestOtherProtocolsAreRefused(t *testing.T) {
	t.Parallel()
	address := serve(t, door.Limits{}, nil, answerWith(1<<10, false))
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &only}
	defer transport.CloseIdleConnections()
	require.Error(t, beat(&http.Client{Transport: transport}, address))
	upgrade := dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"+
		"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n")
	require.Equal(t, "HTTP/1.1 200 OK", status(t, upgrade), "the upgrade is ignored")
}

func TestWhatIsTooSlowIsEnded(t *testing.T) {
	t.Parallel()
	address := serve(t, door.Limits{
		HeaderTime: 50 * time.Millisecond,
		BodyTime:   50 * time.Millisecond,
	}, nil, answerWith(1<<10, false))

	require.NotContains(t, status(t, dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ")), "200")
	require.Equal(t, "HTTP/1.1 408 Request Timeout",
		status(t, dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nab")))
	require.NoError(t, beat(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, address))
}

// TestHTTP2HasTheSameBounds: of many streams of one connection each slow body is ended, each
// large one refused, and a header that is too large ends its request.
func TestHTTP2HasTheSameBounds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	pool := files.write(t, 1, time.Now())
	cert, err := door.LoadCertificate(files.cert, files.key, slog.New(slog.DiscardHandler), nil)
	require.NoError(t, err)
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	d := door.New(door.Limits{BodyTime: 300 * time.Millisecond, HeaderBytes: 8 << 10}, nil)
	srv := d.Server(answerWith(1<<10, true), slog.New(slog.DiscardHandler))
	srv.TLSConfig = cert.Config() //nolint:contextcheck // each handshake brings its own
	ended := make(chan error, 1)
	go func() { ended <- srv.ServeTLS(d.Listen(ln), "", "") }()
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	client := &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	ask := func(body io.Reader, header string) (int, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+ln.Addr().String()+"/", body)
		require.NoError(t, err)
		req.Header.Set("X-Some", header)
		res, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer func() { _ = res.Body.Close() }()
		require.Equal(t, 2, res.ProtoMajor)
		return res.StatusCode, nil
	}
	var asked sync.WaitGroup
	statuses := make([]int, 20)
	for n := range statuses {
		asked.Go(func() {
			slow, begin := io.Pipe()
			defer func() { _ = begin.Close() }()
			go func() { _, _ = io.WriteString(begin, "x") }()
			statuses[n], _ = ask(slow, "")
		})
	}
	asked.Wait()
	require.Equal(t, slices.Repeat([]int{408}, len(statuses)), statuses)
	got, err := ask(strings.NewReader(strings.Repeat("x", 2<<10)), "")
	require.NoError(t, err)
	require.Equal(t, 413, got)
	got, err = ask(strings.NewReader("x"), strings.Repeat("x", 64<<10))
	require.True(t, err != nil || got == 431, "%d", got)
	got, err = ask(strings.NewReader("x"), "")
	require.NoError(t, err)
	require.Equal(t, 200, got)
}

// TestAnAnswerMayTakeLongerThanABody: the deadline of a body ends with the body.
func TestAnAnswerMayTakeLongerThanABody(t *testing.T) {
	t.Parallel()
	address := serve(t, door.Limits{BodyTime: 50 * time.Millisecond},
		nil, func(w http.ResponseWriter, r *http.Request) {
			_, err := door.ReadBody(w, r, 100, door.Caller{})
			if err == nil && pause(r.Context(), 150*time.Millisecond) {
				w.WriteHeader(http.StatusNoContent)
			}
		})
	c := dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
	require.Equal(t, "HTTP/1.1 204 No Content", status(t, c))
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	address := serve(t, door.Limits{}, nil, answerWith(1<<10, true))

	header := dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\n")
	for sent := 0; sent < 50<<20; sent += 8 << 10 {
		if _, err := io.WriteString(header, "X-Big: "+strings.Repeat("x", 8<<10)+"\r\n"); err != nil {
			require.Less(t, sent, 10<<20, "it was closed long before the end")
			break
		}
	}
	declared := dial(t, address, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1073741824\r\n\r\n")
	require.Equal(t, "HTTP/1.1 413 Request Entity Too Large", status(t, declared))
	chunked := dial(t, address,
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n"+strings.Repeat("x", 0x1000)+"\r\n")
	require.Equal(t, "HTTP/1.1 413 Request Entity Too Large", status(t, chunked))
	whole := dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("x", 33<<10)+"\r\n\r\n")
	require.Equal(t, "HTTP/1.1 431 Request Header Fields Too Large", status(t, whole))
	fits := dial(t, address, "GET / HTTP/1.1\r\nHost: x\r\nX-Big: "+strings.Repeat("x", 31<<10)+"\r\n\r\n")
	require.Equal(t, "HTTP/1.1 200 OK", status(t, fits))
}

// TestBodiesShareABudget: what unknown callers send, all together and from one address,
// is bounded, and leaves known callers what is theirs.
func TestBodiesShareABudget(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	received := make(chan struct{}, 8)
	release := make(chan struct{})
	address := serve(t, door.Limits{
		UnknownBytes:      3000,
		UnknownPerAddress: 2000,
		KnownBytes:        1000,
		KnownPerCaller:    700,
	}, reg, func(w http.ResponseWriter, r *http.Request) {
		who := r.Header.Get("X-From")
		name, _ := strings.CutPrefix(who, "known ")
		if name == who {
			name = "" // an address
		}
		_, err := door.ReadBody(w, r, 4<<10, door.Caller{Name: name, Address: who})
		if fault.Is(err, door.Busy) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		received <- struct{}{}
		<-release
	})
	send := func(from string, size int) net.Conn {
		return dial(t, address,
			fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nX-From: %s\r\nContent-Length: %d\r\n\r\n%s", from, size,
				strings.Repeat("x", size)))
	}
	first := send("192.0.2.1", 1500)
	<-received
	require.Equal(t, "HTTP/1.1 503 Service Unavailable", status(t, send("192.0.2.1", 600)),
		"this address has had its share")
	second := send("192.0.2.2", 1400)
	<-received
	require.Equal(t, "HTTP/1.1 503 Service Unavailable", status(t, send("192.0.2.3", 600)),
		"all unknown callers have had theirs")
	known := send("known c1", 600)
	<-received
	require.Equal(t, "HTTP/1.1 503 Service Unavailable", status(t, send("known c1", 300)), "this caller has had its share")
	other := send("known c2", 300)
	<-received
	close(release)
	for _, c := range []net.Conn{first, second, known, other} {
		require.Equal(t, "HTTP/1.1 200 OK", status(t, c))
	}
	again := send("192.0.2.1", 1900)
	<-received
	require.Equal(t, "HTTP/1.1 200 OK", status(t, again), "what was answered was given back")
}

func TestAddressKey(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7":            "192.0.2.7",
		"::ffff:192.0.2.7":     "192.0.2.7",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
		"2001:db8:1:2::9":      "2001:db8:1:2::/64",
		"":                     "",
		"x":                    "x",
		"fe80::1%eth0":         "fe80::/64",
	} {
		require.Equal(t, want, door.AddressKey(address), address)
	}
}
