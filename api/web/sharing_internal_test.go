package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/postgres/pg"
)

type shelfRequest struct {
	Paging
	Kind string `json:"-" form:"kind"`
}

var shelfAway = fault.Define("test.away", fault.Unavailable)

// shelf is a list whose reads a test controls.
type shelf struct {
	reads atomic.Int64
	read  chan error
}

func (s *shelf) list(_ context.Context, in *shelfRequest) (*[]int64, error) {
	n := s.reads.Add(1)
	if err := <-s.read; err != nil {
		return nil, err
	}
	in.PageOf(1)
	found, err := FinishPage(&in.Paging, []int64{n, 0}, nil, func(int64) pg.Cursor { return pg.Cursor{ID: in.Kind} })
	return &found, err
}

// get asks in the background.
func get(t *testing.T, h http.Handler, path string) <-chan *httptest.ResponseRecorder {
	t.Helper()
	out := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		out <- rec
	}()
	synctest.Wait()
	return out
}

func TestReadersOfTheSameShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		QuietGin()
		s := &shelf{read: make(chan error)}
		g := gin.New()
		g.Use(Identify(testLogger(t)), Recovery)
		r := Route{Method: http.MethodGet, Path: "/shelf", Status: 200, Endpoint: NewEndpoint(s.list)}
		g.Handle(r.Method, r.Path, r.Serve(&Authenticator{Open: true, Gate: NewThrottle(time.Now)}))

		first := get(t, g, "/shelf?kind=a")
		one, two, other := get(t, g, "/shelf?kind=a"), get(t, g, "/shelf?kind=a"), get(t, g, "/shelf?kind=b")
		require.EqualValues(t, 2, s.reads.Load(), "another question does not wait")
		for range 3 {
			s.read <- nil
			synctest.Wait()
		}
		require.EqualValues(t, 3, s.reads.Load())
		require.NotEmpty(t, (<-first).Header().Get(nextHeader))
		require.Equal(t, "[2]\n", (<-other).Body.String())
		a, b := <-one, <-two
		require.Equal(t, "[3]\n", a.Body.String())
		for _, rec := range []*httptest.ResponseRecorder{a, b} {
			require.Equal(t, 200, rec.Code)
			require.Equal(t, "[3]\n", rec.Body.String())
			require.Equal(t, `</shelf?after=`+rec.Header().Get(nextHeader)+`&kind=a>; rel="next"`,
				rec.Header().Get(linkHeader))
			require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
		}
		require.NotEqual(t, a.Header().Get(requestKey), b.Header().Get(requestKey), "each is a request of its own")

		first = get(t, g, "/shelf")
		one, two = get(t, g, "/shelf"), get(t, g, "/shelf")
		s.read <- nil
		synctest.Wait()
		s.read <- shelfAway.New("away")
		require.Equal(t, 200, (<-first).Code)
		require.Equal(t, 503, (<-one).Code)
		require.Equal(t, 503, (<-two).Code)
	})
}
