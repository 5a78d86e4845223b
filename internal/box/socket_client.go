package box

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// AskAgent sends a command to the running agent at its socket, and reads its answer into
// out. Fails when no agent runs there, and with the agent's own words when it refuses.
func AskAgent(ctx context.Context, socket, method, path string, in, out any) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	got, err := client.Do(request)
	if err != nil {
		return notRunning(socket, err)
	}
	defer func() { _ = got.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(got.Body, 16<<20))
	if err != nil {
		return err
	}
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", strings.TrimSpace(string(content)))
	}
	return json.Unmarshal(content, out)
}

// notRunning says what to do when the agent's socket does not answer.
func notRunning(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("only root may ask the agent at %s: use sudo", socket)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no agent runs at %s; start it with: systemctl start spotkeeper-agent; "+
			"why it ended: journalctl -u spotkeeper-agent", socket)
	}
	return fmt.Errorf("the agent at %s does not answer: %w", socket, err)
}
