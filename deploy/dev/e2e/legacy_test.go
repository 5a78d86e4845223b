package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/devtest"
	"spotkeeper/internal/testkit/legacytest"
)

// TestTheRecordedStory plays the whole story that was recorded of the legacy
// backend, on every route, and holds each answer to the recorded one. What is
// meant to differ is a row of docs/http-compat.md, and each row is needed. It is
// the world of `make run DEMO=0`, with either launcher: no demo fleet, Python
// engines on, pages from another origin and operators without a token.
func TestTheRecordedStory(t *testing.T) {
	t.Parallel()
	root, err := devtest.Root()
	require.NoError(t, err)
	recordings, err := legacytest.Load(filepath.Join(root, "api", "rest", "testdata", "legacy.jsonl"))
	require.NoError(t, err)
	require.Greater(t, len(recordings), 500)
	needed, wrong := map[legacytest.Row]bool{}, []string{}
	var table legacytest.Table
	for _, launcher := range []string{"control-plane", "agent"} {
		table, err = legacytest.LoadTable(filepath.Join(root, "docs", "http-compat.md"), launcher)
		require.NoError(t, err)
		t.Run(launcher, func(t *testing.T) {
			wrong := playStory(t, launcher, recordings, table, needed)
			require.Empty(t, wrong, strings.Join(wrong, "\n"))
		})
	}
	for _, row := range table { // the agents' own rows are in it
		if !needed[row] {
			wrong = append(wrong, fmt.Sprintf("the row %s | %s is not needed", row.Route, row.Case))
		}
	}
	require.Empty(t, wrong, strings.Join(wrong, "\n"))
}

// playStory plays the story on a stack of its own, says what differs, and notes
// which rows of the table were needed.
func playStory(
	t *testing.T,
	launcher string,
	recordings []legacytest.Recording,
	table legacytest.Table,
	needed map[legacytest.Row]bool,
) (wrong []string) {
	t.Helper()
	s := devtest.Start(t, devtest.Options{
		EC2Delays: "quick",
		Environment: map[string]string{
			"DEFAULT_LAUNCHER": launcher,
			"ENGINE_PYTHON":    "on",
			"CORS_ORIGINS":     "http://localhost:3000",
		},
	})
	ctx := deadline(t, 8*time.Minute)

	pauseCollection(ctx, t, s)
	served := servedRoutes(ctx, t, s)
	told, b := story{s: s, names: legacytest.Names{}}, openBooks(t, s)
	counts := map[legacytest.Verdict]int{}
	for _, r := range recordings {
		if !served(r.Route) {
			counts["not served"]++
			continue
		}
		status, body, err := told.play(ctx, r)
		require.NoError(t, err, r.Name())
		told.settle(ctx, t, r, status)
		confirm(ctx, t, b)
		told.names.Learn(r, body)
		verdict, why := legacytest.Judge(r, told.names, status, body)
		if row := table.Find(r); row >= 0 && verdict != legacytest.Mended && table[row].Allows(r, status) {
			needed[table[row]] = needed[table[row]] || verdict == legacytest.Differs
			verdict = legacytest.Intended
		}
		counts[verdict]++
		if verdict == legacytest.Differs {
			wrong = append(wrong, fmt.Sprintf("%d %s: %s", r.Seq, r.Name(), why))
		}
	}
	t.Logf("%d exchanges: %v", len(recordings), counts)
	return wrong
}

// pauseCollection keeps the simulator's prices out: the test says what EC2 shows.
func pauseCollection(ctx context.Context, t *testing.T, s *devtest.Stack) {
	t.Helper()
	require.NoError(t, until(ctx, again, func() (bool, error) {
		status, err := s.Call(ctx, "POST", "/api/admin/schedules/price-collection/pause", "",
			map[string]any{"reason": "the test says what EC2 shows"}, nil)
		return err == nil && status == 200, err
	}))
}

// confirm has the books say that EC2 has confirmed the machines of the story, whose ids are
// invented, and that EC2 shows the pools and prices that its agents report. The control
// plane takes orders to launch only beside what is proven, and into pools that EC2 shows.
func confirm(ctx context.Context, t *testing.T, b *books) {
	t.Helper()
	for _, sql := range []string{
		`UPDATE clients SET own_account = true WHERE NOT own_account`,
		`UPDATE instances SET proof = 'launched' WHERE proof = 'unproven'`,
		`INSERT INTO pools (id, instance_type, region, az)
		SELECT pool_id, instance_type, region, az FROM client_prices ON CONFLICT DO NOTHING`,
		`INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
		SELECT DISTINCT ON (pool_id) pool_id, instance_type, region, az, price, 'collector', observed_at
		FROM client_prices
		ORDER BY pool_id, observed_at DESC
		ON CONFLICT (pool_id) DO UPDATE SET price = excluded.price, observed_at = excluded.observed_at,
			updated_at = now()`,
		`INSERT INTO price_buckets (pool_id, bucket, price, ondemand_price, source_type, confidence, observed_at)
		SELECT DISTINCT ON (pool_id, bucket) pool_id, bucket, price, ondemand_price, 'collector', 0.95, observed_at
		FROM price_submissions
		ORDER BY pool_id, bucket, observed_at
		ON CONFLICT DO NOTHING`,
		`INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
		SELECT DISTINCT ON (region, instance_type) region, instance_type, ondemand_price, 'pricing-api', observed_at
		FROM price_submissions
		WHERE ondemand_price > 0
		ORDER BY region, instance_type, observed_at DESC
		ON CONFLICT DO NOTHING`,
	} {
		_, err := b.pool.Exec(ctx, sql)
		require.NoError(t, err)
	}
}

// servedRoutes reads the routes from the document that the stack serves.
func servedRoutes(ctx context.Context, t *testing.T, s *devtest.Stack) func(route string) bool {
	t.Helper()
	var document struct{ Paths map[string]map[string]any }
	status, err := s.Call(ctx, http.MethodGet, "/openapi.json", "", nil, &document)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	params := regexp.MustCompile(`<\w+>|\{\w+\}`)
	known := map[string]bool{}
	for path, methods := range document.Paths {
		for method := range methods {
			known[strings.ToUpper(method)+" "+params.ReplaceAllString(path, "{}")] = true
		}
	}
	return func(route string) bool { return route == "_misc" || known[params.ReplaceAllString(route, "{}")] }
}

// story is a replay and what it has learned so far.
type story struct {
	s     *devtest.Stack
	names legacytest.Names
}

func (p story) play(ctx context.Context, r legacytest.Recording) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	body, contentType, err := p.body(r)
	if err != nil {
		return 0, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, p.s.API+p.names.Fill(r.Path), body)
	if err != nil {
		return 0, nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for name, value := range r.Headers {
		req.Header.Set(name, value)
	}
	if r.Authorization != nil {
		req.Header.Set("Authorization", p.names.Fill(*r.Authorization))
	}
	res, err := storyClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// settle waits until a replica that was reported as failed has ended and its instance is
// no standby any more. The replica's workflow is signalled after the answer, while the
// recording goes on at once.
func (p story) settle(ctx context.Context, t *testing.T, r legacytest.Recording, status int) {
	t.Helper()
	list, said := strings.CutSuffix(p.names.Fill(r.Path), "/status")
	if !said || status != http.StatusOK || r.Body == nil || !strings.Contains(*r.Body, `"failed"`) {
		return
	}
	at := strings.LastIndexByte(list, '/')
	list, id := list[:at], list[at+1:]
	type agentState struct {
		ID, Status string
		InstanceID string `json:"instance_id"`
	}
	require.Eventually(t, func() bool {
		var found struct{ Replicas []agentState }
		_, err := p.s.Call(ctx, http.MethodGet, list+"?include_terminated=true", "", nil, &found)
		at := slices.IndexFunc(found.Replicas, func(one agentState) bool { return one.ID == id })
		if err != nil || at < 0 ||
			slices.Contains([]string{"launching", "syncing", "ready"}, found.Replicas[at].Status) {
			return false
		}
		var lives struct{ Instances []struct{ Role string } }
		_, err = p.s.Call(ctx, http.MethodGet, "/api/admin/instances?search="+found.Replicas[at].InstanceID, "", nil,
			&lives)
		return err == nil &&
			!slices.ContainsFunc(lives.Instances, func(one struct{ Role string }) bool { return one.Role == "replica" })
	}, time.Minute, 50*time.Millisecond, "replica %s has not failed", id)
}

// storyClient follows nothing: a redirect would be a difference.
var storyClient = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func (p story) body(r legacytest.Recording) (io.Reader, string, error) {
	if len(r.Files) == 0 {
		if r.Body == nil {
			return http.NoBody, r.ContentType, nil
		}
		// Prices are believed for a month; the recordings are older some day.
		yesterday := time.Now().UTC().Add(-24 * time.Hour).Format(time.DateOnly)
		return strings.NewReader(strings.ReplaceAll(p.names.FillBody(*r.Body), "2026-11-22",
			yesterday)), r.ContentType, nil
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for i, f := range r.Files {
		part, err := w.CreateFormFile("files", f.Name)
		if err != nil {
			return nil, "", err
		}
		// What the files held is not recorded, but that no two were alike.
		content := bytes.Repeat([]byte{byte('A' + (r.Seq+i)%26)}, f.Size)
		if strings.HasSuffix(f.Name, ".py") {
			content[0] = '#'
		}
		if _, err := part.Write(content); err != nil {
			return nil, "", err
		}
	}
	return &form, w.FormDataContentType(), w.Close()
}
