package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"spotkeeper/internal/door"
)

// drain is how long requests in flight may take after a stop was asked for. It is
// longer than a notice waits for its outcome.
const drain = 30 * time.Second

// serve answers on addr until ctx ends, then lets requests in flight finish. With a
// certificate it serves HTTPS. announce receives the address that was taken, which matters
// for port 0.
func serve(
	ctx context.Context,
	log *slog.Logger,
	name, addr string,
	d *door.Door,
	cert *door.Certificate,
	h http.Handler,
	announce func(net.Addr),
) error {
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("the address %s of the %s is taken by another program", addr, name)
	}
	if err != nil {
		return err
	}
	srv := d.Server(h, log)
	if announce != nil {
		announce(ln.Addr())
	}
	log.Info("listening", "part", name, "address", ln.Addr().String(), "tls", cert != nil)
	ended := make(chan error, 1)
	answer := srv.Serve
	if cert != nil {
		srv.TLSConfig = cert.Config() //nolint:contextcheck // each handshake brings its own
		answer = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
	}
	go func() { ended <- answer(d.Listen(ln)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err = srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests were cut off at the end", "part", name)
		err = srv.Close()
	}
	if end := <-ended; !errors.Is(end, http.ErrServerClosed) {
		return end
	}
	return err
}
