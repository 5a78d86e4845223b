package door

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookAgain is how often the files of a certificate are looked at.
const lookAgain = 10 * time.Second

// Certificate is that of a listener, from two files in PEM. It is read anew when the files
// have changed; files that cannot be used leave the one that was read before.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu     sync.Mutex
	kept   *tls.Certificate
	seen   [2]time.Time // when the files were changed
	looked time.Time
}

// LoadCertificate reads a certificate. A nil now is time.Now.
func LoadCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*Certificate, error) {
	if now == nil {
		now = time.Now
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: now}
	if err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// Config is for a server: TLS 1.2 or later, and HTTP/2.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current(hello.Context()), nil
		},
	}
}

// Expires is when the certificate that is presented now becomes invalid.
func (c *Certificate) Expires() (time.Time, error) {
	return c.current(context.Background()).Leaf.NotAfter, nil
}

func (c *Certificate) current(ctx context.Context) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= lookAgain && c.changed() {
		if err := c.read(); err != nil {
			c.looked = now
			c.log.WarnContext(ctx, "the new certificate cannot be used, the one before is kept", "error", err)
		} else {
			c.log.InfoContext(ctx, "the certificate was read anew", "file", c.certFile)
		}
	}
	return c.kept
}

// changed says whether a file has changed since it was read.
func (c *Certificate) changed() bool {
	seen, err := c.times()
	if err != nil || seen == c.seen {
		c.looked = c.now()
		return false
	}
	return true
}

func (c *Certificate) times() (seen [2]time.Time, err error) {
	for i, file := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(file)
		if err != nil {
			return seen, err
		}
		seen[i] = info.ModTime()
	}
	return seen, nil
}

// read reads the files. Their times are taken before, so that a change meanwhile is seen.
func (c *Certificate) read() error {
	seen, err := c.times()
	if err != nil {
		return fmt.Errorf("the certificate of the api: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("the certificate of the api: %w", err)
	}
	c.kept, c.seen, c.looked = &pair, seen, c.now()
	return nil
}
