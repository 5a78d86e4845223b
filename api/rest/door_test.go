package rest_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/door"
)

// opened is the whole surface behind a door, on a socket.
type opened struct {
	*stack
	address string
	metrics *prometheus.Registry
}

// open serves the stack through a door until the test ends.
func (s *stack) open(limits door.Limits) *opened {
	t := s.t
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &opened{s, ln.Addr().String(), prometheus.NewRegistry()}
	d := door.New(limits, o.metrics)
	server := d.Server(s.handler, slog.New(slog.DiscardHandler))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d.Listen(ln)) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	return o
}

// gauge is the value of a metric of the door.
func (o *opened) gauge(name string) float64 {
	o.t.Helper()
	families, err := o.metrics.Gather()
	require.NoError(o.t, err)
	at := slices.IndexFunc(families, func(f *dto.MetricFamily) bool { return f.GetName() == name })
	require.GreaterOrEqual(o.t, at, 0, name)
	return families[at].GetMetric()[0].GetGauge().GetValue()
}

// dial opens a connection and sends the beginning of a request.
func (o *opened) dial(begin string) net.Conn {
	o.t.Helper()
	var d net.Dialer
	c, err := d.DialContext(o.t.Context(), "tcp", o.address)
	require.NoError(o.t, err)
	o.t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c, begin)
	require.NoError(o.t, err)
	return c
}

// answer reads the answer on a connection.
func (o *opened) answer(c net.Conn) (status int, body string) {
	o.t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(o.t, err)
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	require.NoError(o.t, err)
	return res.StatusCode, string(text)
}

// beats sends heartbeats as the deployed agents do, a connection each, and returns how
// long each took.
func (o *opened) beats(n int) (took []time.Duration) {
	o.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range n {
		req, err := http.NewRequestWithContext(o.t.Context(), http.MethodPost,
			"http://"+o.address+"/api/agents/a1/heartbeat", strings.NewReader(`{}`))
		require.NoError(o.t, err)
		req.Header.Set("Authorization", "Bearer "+o.acme)
		begun := time.Now()
		res, err := client.Do(req)
		require.NoError(o.t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(o.t, err)
		require.NoError(o.t, res.Body.Close())
		require.Equal(o.t, 200, res.StatusCode)
		took = append(took, time.Since(begun))
	}
	return took
}

// slowly opens connections that send one byte every interval until the test ends: headers,
// bodies with a token in them, chunks without end, and bodies of a caller whose token is good.
func (o *opened) slowly(n int, interval time.Duration) (stop func()) {
	o.t.Helper()
	post := "POST /api/agents/a1/heartbeat HTTP/1.1\r\nHost: x\r\n"
	begins := []string{
		post + "X-Slow: ",
		post + "Content-Length: 9000\r\n\r\n",
		post + "Transfer-Encoding: chunked\r\n\r\n2000\r\n",
		post + "Authorization: Bearer " + o.acme + "\r\nContent-Length: 9000\r\n\r\n",
	}
	ctx, cancel := context.WithCancel(o.t.Context())
	var sending sync.WaitGroup
	for i := range n {
		c := o.dial(begins[i%len(begins)])
		sending.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					if _, err := io.WriteString(c, " "); err != nil {
						return
					}
				}
			}
		})
	}
	return func() {
		cancel()
		sending.Wait()
	}
}

// heap is how much memory of the process is in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// TestSlowBodies: 2,000 connections send one byte a second, in four ways, and every
// heartbeat beside them is answered. What they have sent stays within its budget, and the
// process holds some kilobytes for each.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	const slow = 2000
	o := newStack(t).open(door.Limits{Conns: 1500, HeaderTime: time.Hour, BodyTime: time.Hour})
	stop := o.slowly(slow, time.Second)
	defer stop()
	o.beats(200)
	require.LessOrEqual(t, o.gauge("spotkeeper_http_connections"), 1500.0)
	require.LessOrEqual(t, o.gauge("spotkeeper_http_body_bytes"), float64(slow*8192))
}

// TestOneTokenCannotFillTheDoor: a thief of an agent's token who sends slowly on every
// connection keeps a share of them, and others are served.
func TestOneTokenCannotFillTheDoor(t *testing.T) {
	t.Parallel()
	o := newStack(t).open(door.Limits{Conns: 64, HeaderTime: time.Hour, BodyTime: time.Hour})
	for range 200 {
		o.dial("POST /api/agents/b1/heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + o.beta +
			"\r\nContent-Length: 100\r\n\r\n{")
	}
	o.beats(50)
}

// TestLargeRequestsAreRefused: 50 MB of headers, 1 GB of a body by its length or in
// chunks without end, for an agent, a page and an upload, with and without a good token.
func TestLargeRequestsAreRefused(t *testing.T) {
	t.Parallel()
	o := newStack(t).open(door.Limits{})
	header := o.dial("GET /health HTTP/1.1\r\nHost: x\r\n")
	sent := 0
	for line := "X-Big: " + strings.Repeat("x", 8<<10) + "\r\n"; sent < 50<<20; sent += len(line) {
		if _, err := io.WriteString(header, line); err != nil {
			break
		}
	}
	require.Less(t, sent, 50<<20, "it was closed before the end")

	const agents, page, upload = "/api/agents/a1/heartbeat", "/api/client/agents/a1/toggle-enabled",
		"/api/admin/ml-models/upload"
	form := "Content-Type: multipart/form-data; boundary=x\r\n"
	for _, c := range []struct {
		path, token, more, sentence string
		want                        int
	}{
		{agents, "", "", "Without a token in its header", 413},
		{agents, o.acme, "", "The body is larger than", 413},
		{agents, "token-wrong", "", "Invalid client token", 401},
		{page, o.acme, "", "The body is larger than", 413},
		{upload, o.acme, form, "", 403},
		{upload, "token-wrong", form, "Invalid operator token", 401},
		{upload, operatorToken, form, "An upload may have 100 MiB at most", 413},
	} {
		begin := "POST " + c.path + " HTTP/1.1\r\nHost: x\r\n" + c.more
		if c.token != "" {
			begin += "Authorization: Bearer " + c.token + "\r\n"
		}
		declared := o.dial(begin + "Content-Length: 1073741824\r\n\r\n")
		require.NoError(t, declared.(*net.TCPConn).CloseWrite())
		status, body := o.answer(declared)
		require.Equal(t, c.want, status, "%s %s", c.path, body)
		require.Contains(t, body, c.sentence)
		require.NotContains(t, body, "<html")
	}

	endless := o.dial("POST " + agents + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + o.acme +
		"\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk, chunks := "10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 0
	for ; chunks < 16<<10; chunks++ {
		if _, err := io.WriteString(endless, chunk); err != nil {
			break
		}
	}
	require.Less(t, chunks, 16<<10, "it was closed before the end")
	require.Zero(t, o.gauge("spotkeeper_http_body_bytes"))
	o.beats(1)
}

// TestBodiesAreNotDecompressed: a small body that would become a large one is no JSON.
func TestBodiesAreNotDecompressed(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write([]byte(`{"status":"online","more":"` + strings.Repeat("x", 10<<20) + `"}`))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/agents/a1/switch-report", &bomb)
	req.Header.Set("Authorization", "Bearer "+s.acme)
	req.Header.Set("Content-Encoding", "gzip")
	rec := httptest.NewRecorder()
	s.handler.ServeHTTP(rec, req)
	require.Equal(t, 400, rec.Code, rec.Body)
}

var streams = flag.Int("streams", 1000, "how many streams TestStreamsAreBounded asks for; `make large` takes 10000")

// TestStreamsAreBounded: one tenant asks for thousands of streams. It gets its share, each one
// more is answered with a sentence, and others are served.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	const share = 16
	asked := *streams
	s := newStack(t)
	ctx, cancel := context.WithCancel(t.Context())
	running := make(chan error, 1)
	go func() { running <- s.feed.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-running)
	})
	o := s.open(door.Limits{})
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(path, token string) (*http.Response, string) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.address+path, http.NoBody)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(req)
		require.NoError(t, err)
		if res.StatusCode == http.StatusOK {
			t.Cleanup(func() { _ = res.Body.Close() })
			return res, ""
		}
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res, string(body)
	}
	statuses := map[int]int{}
	for range asked {
		res, body := ask("/api/client/c1/events", o.acme)
		if statuses[res.StatusCode]++; res.StatusCode != http.StatusOK {
			require.Contains(t, body, "events.too_many_streams")
			require.NotEmpty(t, res.Header.Get("Retry-After"))
		}
	}
	require.Equal(t, map[int]int{200: share, 429: asked - share}, statuses)
	res, body := ask("/api/client/c2/events", o.beta)
	require.Equal(t, 200, res.StatusCode, body)
	o.beats(20)
	require.LessOrEqual(t, o.gauge("spotkeeper_http_connections"), float64(share+100))
}

// BenchmarkHeartbeatsBesideSlowBodies says how long heartbeats take beside 2,000
// connections that send one byte a second, and what these cost in memory.
func BenchmarkHeartbeatsBesideSlowBodies(b *testing.B) {
	const slow = 2000
	o := newStack(b).open(door.Limits{})
	o.beats(50)
	before := heap()
	stop := o.slowly(slow, time.Second)
	defer stop()
	o.beats(50)
	var took []time.Duration
	for b.Loop() {
		took = append(took, o.beats(1)...)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(heap()-before)/slow/1024, "KiB/slow")
}
