package demo

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// operation is what the narrator reads of an operation.
type operation struct {
	ID            string  `json:"id"`
	Kind          string  `json:"kind"`
	AgentID       string  `json:"agent_id"`
	State         string  `json:"state"`
	Phase         string  `json:"phase"`
	Summary       string  `json:"summary"`
	Error         string  `json:"error_message"`
	NewInstanceID string  `json:"new_instance_id"`
	StartedAt     moment  `json:"started_at"`
	EndedAt       *moment `json:"ended_at"`
}

// moment is a time as the API writes it: UTC, with or without a zone.
type moment struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (m *moment) UnmarshalJSON(raw []byte) (err error) {
	text := strings.Trim(string(raw), `"`)
	if m.Time, err = time.Parse(time.RFC3339Nano, text); err != nil {
		m.Time, err = time.Parse("2006-01-02T15:04:05.999999999", text)
	}
	return err
}

type page struct {
	Operations []operation `json:"operations"`
}

// narrate says each change of an operation once, from what the pages read too.
func (w *world) narrate(ctx context.Context) {
	said := map[string]string{}
	tick := time.NewTicker(700 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		for _, o := range w.operations(ctx) {
			now := o.State + "/" + o.Phase
			before, known := said[o.ID]
			said[o.ID] = now
			if before == now || first || !known && o.StartedAt.Before(w.start) {
				continue
			}
			w.sayOperation(o)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (w *world) operations(ctx context.Context) []operation {
	var all []operation
	asked := map[string]bool{}
	for _, m := range w.members {
		if asked[m.clientID] {
			continue
		}
		asked[m.clientID] = true
		var p page
		if err := w.api.call(ctx, http.MethodGet, "/api/operations?limit=50&client_id="+url.QueryEscape(m.clientID),
			m.token, nil, &p); err == nil {
			all = append(all, p.Operations...)
		}
	}
	return all
}

func (w *world) sayOperation(o operation) {
	m := w.memberByAgent(o.AgentID)
	switch {
	case m == nil:
	case o.State == "running" && o.Phase != "":
		w.say(m, "%s: %s", o.Kind, o.Phase)
	case o.State == "running":
		w.say(m, "%s begins: %s", o.Kind, o.Summary)
	default:
		took := ""
		if o.EndedAt != nil {
			took = " after " + o.EndedAt.Sub(o.StartedAt.Time).Round(100*time.Millisecond).String()
		}
		what := o.Summary
		if o.Error != "" {
			what += " (" + o.Error + ")"
		}
		w.say(m, "%s %s%s: %s", o.Kind, o.State, took, what)
	}
}

func (w *world) memberByAgent(agentID string) *member {
	for _, m := range w.members {
		if m.agent() == agentID {
			return m
		}
	}
	return nil
}
