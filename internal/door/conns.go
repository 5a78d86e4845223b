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
// caller is not cut off, unless that caller or its owner has more connections than are kept
// for one.
// So a client that sends or reads slowly makes room for those that do not.
type conns struct {
	most          int
	mostPerCaller int // connections of one known caller that are not closed to make room
	mostPerOwner  int // the same of all callers of one owner
	refused       *prometheus.CounterVec

	mu      sync.Mutex
	open    int
	kept    map[keeper]int        // connections in the phase answering
	waiting [answering]*list.List // of *conn, by phase, the longest wait first
}

// keeper is a caller or an owner, by its name: the two may have the same.
type keeper struct {
	isOwner bool
	name    string
}

func newConns(limits Limits, refused *prometheus.CounterVec) *conns {
	return &conns{
		most: limits.Conns, mostPerCaller: limits.PerCaller, mostPerOwner: limits.PerOwner,
		refused: refused, kept: map[keeper]int{},
		waiting: [answering]*list.List{receiving: list.New(), idle: list.New(), unproven: list.New()},
	}
}

// conn is one connection of the listener.
type conn struct {
	net.Conn

	all     *conns
	phase   phase
	keepers []keeper      // that count it in all.kept while the phase is answering
	place   *list.Element // in all.waiting[phase]; nil while a known caller is answered, or closed
	closed  bool
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
	for _, k := range c.keepers {
		if s.kept[k]--; s.kept[k] == 0 {
			delete(s.kept, k)
		}
	}
	c.keepers = nil
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
func (s *conns) admit(c *conn, caller, owner string) {
	if c == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	its, all := keeper{name: caller}, keeper{isOwner: true, name: owner}
	if c.closed || c.phase == answering || s.kept[its] >= s.mostPerCaller || s.kept[all] >= s.mostPerOwner {
		return
	}
	s.wait(c, answering)
	c.keepers = []keeper{its, all}
	s.kept[its]++
	s.kept[all]++
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
