package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventsAreReadAsTheStandardSays(t *testing.T) {
	t.Parallel()
	stream := ": a comment\nretry: 2000\n\nid: 7\nevent: notice\ndata: {\"a\":\ndata: 1}\n\ndata:x\n\nid: 9\ndata: cut off"
	var got []event
	err := readEvents(strings.NewReader(stream), func(e event) error { got = append(got, e); return nil })
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, []event{{"7", "notice", "{\"a\":\n1}"}, {data: "x"}}, got)
}

// TestTailGoesOnFromTheLastEvent when its connection was lost.
func TestTailGoesOnFromTheLastEvent(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var known []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known = append(known, r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream")
		if len(known) == 2 {
			defer cancel()
		}
		_, _ = fmt.Fprintf(w, "id: %d\nevent: notice\ndata: {\"type\":\"notice\",\"at\":\"2026-01-02T03:04:05Z\",\"data\":{\"result\":\"promoted\"}}\n\n",
			len(known))
	}))
	t.Cleanup(server.Close)
	var out, problems bytes.Buffer
	code := Run(ctx, []string{"tail", "--server", server.URL, "--contexts", filepath.Join(t.TempDir(), "none")}, nil, &out, &problems)
	require.Equal(t, 0, code, problems.String())
	require.Equal(t, []string{"", "1"}, known)
	require.Contains(t, out.String(), "2026-01-02 03:04:05Z notice result=promoted\n")
	require.Contains(t, problems.String(), "the stream has ended (EOF), again in 1s")
}
