package door

import (
	"container/list"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// phase is what a connection waits for.
type phase int

const (
	receiving phase = iota // the client's bytes: a header or a body
	idle                   // the next request
	unproven               // our answer, for a caller who has not been authenticated
	answering              // our answer, for a caller who has
)

// conns counts open connections. When there are too many, it closes the one that has
// waited longest for the bytes of its client, then the one that has been idle longest,
// then the one whose unknown caller has been answered longest. The request of a known
// caller is not cut off, unless that caller has more connections than are kept for one.
// So a client that sends or reads slowly makes room for those that do not.
type conns struct {
	most          int
	mostPerCaller int // connections of one known caller that are not closed to make room
	refused       *prometheus.CounterVec

	mu      sync.Mutex
	open    int
	kept    map[string]int        // connections in the phase answering, by caller
	waiting [answering]*list.List // of *conn, by phase, the longest wait first
}

func newConns(most, mostPerCaller int, refused *prometheus.CounterVec) *conns {
	return &conns{
		most: most, mostPerCaller: mostPerCaller, refused: refused, kept: map[string]int{},
		waiting: [answering]*list.List{receiving: list.New(), idle: list.New(), unproven: list.New()},
	}
}

// conn is one connection of the listener.
type conn struct {
	net.Conn

	all    *conns
	phase  phase
	caller string        // counted in all.kept while the phase is answering
	place  *list.Element // in all.waiting[phase]; nil while a known caller is answered, or closed
	closed bool
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.all.mu.Lock()
	c.all.forget(c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// listener hands out connections that are counted.
type listener struct {
	net.Listener

	conns *conns
}

// Accept implements net.Listener. It never waits for a place.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		counted, evicted := l.conns.add(c)
		if evicted != nil {
			_ = evicted.Close()
		}
		if counted != nil {
			return counted, nil
		}
	}
}

// add counts a connection. The second result is to be closed; when the first is nil, it
// is the new connection itself.
func (s *conns) add(c net.Conn) (*conn, net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var evicted net.Conn
	if s.open >= s.most {
		slowest := s.longest()
		if slowest == nil {
			s.refused.WithLabelValues("new").Inc()
			return nil, c
		}
		s.refused.WithLabelValues("waiting").Inc()
		s.forget(slowest)
		evicted = slowest.Conn
	}
	added := &conn{Conn: c, all: s}
	s.open++
	s.wait(added, receiving)
	return added, evicted
}

func (s *conns) longest() *conn {
	for _, l := range s.waiting {
		if front := l.Front(); front != nil {
			return front.Value.(*conn)
		}
	}
	return nil
}

// wait puts a connection at the end of those that wait for the same.
func (s *conns) wait(c *conn, p phase) {
	s.leave(c)
	c.phase = p
	if p != answering {
		c.place = s.waiting[p].PushBack(c)
	}
}

func (s *conns) leave(c *conn) {
	if c.place != nil {
		s.waiting[c.phase].Remove(c.place)
		c.place = nil
	}
	if c.caller != "" {
		if s.kept[c.caller]--; s.kept[c.caller] == 0 {
			delete(s.kept, c.caller)
		}
		c.caller = ""
	}
}

func (s *conns) forget(c *conn) {
	if !c.closed {
		c.closed = true
		s.open--
		s.leave(c)
	}
}

// changed is the server's ConnState.
func (s *conns) changed(nc net.Conn, state http.ConnState) {
	c := connOf(nc)
	if c == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.closed {
		return
	}
	switch state {
	case http.StateActive:
		if c.phase != receiving { // a new connection is there already, and keeps its place
			s.wait(c, receiving)
		}
	case http.StateIdle:
		s.wait(c, idle)
	case http.StateNew, http.StateClosed, http.StateHijacked: // Accept and Close count these
	}
}

// served says that nothing more is waited for from the client.
func (s *conns) served(c *conn) {
	if c == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.closed && c.phase != answering {
		s.wait(c, unproven)
	}
}

// admit keeps the connection of a known caller until its next request, unless as many are
// kept for that caller already.
func (s *conns) admit(c *conn, caller string) {
	if c == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.closed || c.phase == answering || s.kept[caller] >= s.mostPerCaller {
		return
	}
	s.wait(c, answering)
	c.caller = caller
	s.kept[caller]++
}

func (s *conns) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// connOf finds our connection below TLS.
func connOf(c net.Conn) *conn {
	for {
		switch known := c.(type) {
		case *conn:
			return known
		case interface{ NetConn() net.Conn }:
			c = known.NetConn()
		default:
			return nil
		}
	}
}
