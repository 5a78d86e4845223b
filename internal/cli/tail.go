package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// event is one server-sent event.
type event struct{ id, kind, data string }

// How long tail waits before it connects again. It does so for as long as it runs.
const (
	reconnectFirst = time.Second
	reconnectMost  = 15 * time.Second
)

// tail prints events until it is stopped. After a lost connection it continues from the
// last event that it printed.
func (p *program) tail() *cobra.Command {
	var since string
	return withFlag(p.command("tail", "Follow operations, notices and changes of primaries", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			wait := reconnectFirst
			for {
				err := p.follow(c.Context(), api, &since, func(e event) error {
					wait = reconnectFirst
					return p.printEvent(c.OutOrStdout(), e)
				})
				if r, ok := errors.AsType[*refused](err); ok && r.status < 500 && r.status != http.StatusTooManyRequests {
					return err
				}
				if broken, ok := errors.AsType[*unprinted](err); ok {
					return broken.error
				}
				if c.Context().Err() != nil {
					return nil //nolint:nilerr // it was stopped, which is how it ends
				}
				c.PrintErrf("the stream has ended (%v), again in %s\n", err, wait)
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(wait):
				}
				wait = min(2*wait, reconnectMost)
			}
		}), func(c *cobra.Command) {
		c.Flags().StringVar(&since, "after", "", "id of the last event that is known")
	})
}

func withFlag(c *cobra.Command, add func(*cobra.Command)) *cobra.Command {
	add(c)
	return c
}

// unprinted is an event that could not be printed: its reader has gone.
type unprinted struct{ error }

// follow reads one connection to its end.
func (p *program) follow(ctx context.Context, api *client.ClientWithResponses, since *string, show func(event) error) error {
	var resp *http.Response
	var err error
	if p.target.Client != "" {
		resp, err = api.StreamEvents(ctx, p.target.Client, &client.StreamEventsParams{LastEventID: given[string](*since)})
	} else {
		resp, err = api.StreamAllEvents(ctx, &client.StreamAllEventsParams{LastEventID: given[string](*since)})
	}
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	return readEvents(resp.Body, func(e event) error {
		if err := show(e); err != nil {
			return &unprinted{err}
		}
		if e.id != "" {
			*since = e.id
		}
		return nil
	})
}

// longestEvent is more than any event has.
const longestEvent = 1 << 20

// readEvents reads the format text/event-stream, as the HTML standard describes it.
func readEvents(r io.Reader, show func(event) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, longestEvent)
	var e event
	var data []string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if e.data = strings.Join(data, "\n"); e.data != "" {
				if err := show(e); err != nil {
					return err
				}
			}
			e, data = event{}, nil
		case field == "id":
			e.id = value
		case field == "event":
			e.kind = value
		case field == "data":
			data = append(data, value)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.EOF
}

func (p *program) printEvent(w io.Writer, e event) error {
	if p.format != "table" {
		_, err := fmt.Fprintln(w, e.data) // one object in a line, which is JSON and YAML
		return err
	}
	var x struct {
		At   time.Time      `json:"at"`
		Type string         `json:"type"`
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal([]byte(e.data), &x); err != nil {
		_, err := fmt.Fprintln(w, clean(e.data))
		return err
	}
	line := []string{at(x.At), clean(x.Type)}
	for _, key := range []string{"kind", "state", "result", "reason", "phase", "summary", "agent_id", "instance_id", "new_primary", "id"} {
		if v, ok := x.Data[key]; ok && v != nil && v != "" {
			line = append(line, key+"="+clean(fmt.Sprint(v)))
		}
	}
	_, err := fmt.Fprintln(w, strings.Join(line, " "))
	return err
}
