// Package loopback hands out TCP addresses on 127.0.0.1: everything the
// development stack listens on is local to the machine.
package loopback

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Host is the only address the development stack binds.
const Host = "127.0.0.1"

// TakenError says that another process listens on a port that the stack was given.
// Its text is one sentence that names the way out.
type TakenError struct {
	// Port is the port asked for.
	Port int
	// Flag is the command line flag that chooses another one, without dashes.
	Flag string
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("port %d is already in use: free it or choose another with --%s (0 picks a free one)", e.Port,
		e.Flag)
}

// Addr is host:port on the loopback interface.
func Addr(port int) string { return net.JoinHostPort(Host, strconv.Itoa(port)) }

// Claim turns a configured port into one that can be listened on now: 0
// becomes a free port, any other is checked. A port in use is a *TakenError
// naming the flag.
//
// Nothing is held: between Claim and the listener another process may take the
// port. The window is short and its outcome a failed start, so it is accepted.
func Claim(port int, flag string) (int, error) {
	listener, err := listen(port)
	if err != nil {
		if port == 0 {
			return 0, fmt.Errorf("find a free port on %s: %w", Host, err)
		}
		return 0, &TakenError{Port: port, Flag: flag}
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// listen binds at once or fails at once: there is nothing to cancel.
func listen(port int) (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(context.Background(), "tcp", Addr(port))
}

// Ports that Free chooses from: below those that systems give to outgoing connections
// (from 32768 on by Linux, from 49152 on by RFC 6335), so that no connection takes a
// port between its choice and its use.
const (
	firstFree = 15000
	lastFree  = 32000
)

// Free returns n different free ports. They are held open together while they
// are chosen, so that no two are the same.
func Free(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for tries := 0; len(ports) < n; tries++ {
		port := firstFree + rand.IntN(lastFree-firstFree) //nolint:gosec // no secret
		listener, err := listen(port)
		if err != nil {
			if tries < 100*n {
				continue
			}
			return nil, fmt.Errorf("find a free port on %s: %w", Host, err)
		}
		defer func() { _ = listener.Close() }()
		ports = append(ports, port)
	}
	return ports, nil
}
