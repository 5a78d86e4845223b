package activities

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// TemplateStore lists primaries without a template and stores the templates that were read.
type TemplateStore interface {
	// FreshPrimaries lists primaries that became it within the span, that we launch
	// for, and whose template was never read, oldest first and without those named.
	FreshPrimaries(ctx context.Context, within time.Duration, without []string, limit int) ([]FreshPrimary, error)
	// KeepTemplate stores a template for when its instance is gone.
	KeepTemplate(ctx context.Context, agentID, instanceID string, template json.RawMessage) error
}

// FreshPrimary is a primary and how long it has been one, by the database's clock.
type FreshPrimary struct {
	Primary
	Age time.Duration
}

// Templates note what new primaries were launched with, within seconds: one that
// ends a minute after its registration can be replaced only from what was noted.
// Those that could not be noted then are left to WatchPrimaries, which is slower
// and does not give up for a day.
type Templates struct {
	Store TemplateStore
	Fleet Fleet
	Log   *slog.Logger
	// Watch is how long a run keeps looking, and Every how often. Zero: once.
	Watch, Every time.Duration
}

// Bounds of noting templates.
const (
	templatesWithin  = 10 * time.Minute // a primary is new for so long
	templatesPerPass = 100
	templatesAtOnce  = 8
)

// NoteTemplatesResult counts a run.
type NoteTemplatesResult struct {
	Templates int `json:"templates"` // read and remembered
	Failed    int `json:"failed"`    // attempts that brought none
}

// Counts names the counts for the run's row.
func (r *NoteTemplatesResult) Counts() map[string]int64 {
	return map[string]int64{"templates": int64(r.Templates), "failed": int64(r.Failed)}
}

// NoteTemplates reads what each new primary was launched with and keeps it, and
// keeps looking for most of a minute. One that EC2 does not show yet, or may not
// be asked about, is asked about again when it is twice as old: a role that does not work
// costs a handful of calls per instance. What is kept is keyed by the instance, so
// two runs at once, or one that is repeated, keep the same.
func (t *Templates) NoteTemplates(ctx context.Context) (*NoteTemplatesResult, error) {
	out, end, again := &NoteTemplatesResult{}, time.Now().Add(t.Watch), map[string]time.Time{}
	for {
		if err := t.runPass(ctx, again, out); err != nil {
			return nil, err
		}
		if t.Watch <= 0 || !time.Now().Add(t.Every).Before(end) {
			return out, nil
		}
		recordHeartbeat(ctx)
		wait := time.NewTimer(t.Every)
		select {
		case <-ctx.Done():
			wait.Stop()
			return out, ctx.Err()
		case <-stopping(ctx): // between two passes nothing is half done: the next run goes on
			wait.Stop()
			return out, nil
		case <-wait.C:
		}
	}
}

// runPass looks once. again says when those that failed are asked about next.
func (t *Templates) runPass(ctx context.Context, again map[string]time.Time, out *NoteTemplatesResult) error {
	waiting := make([]string, 0, len(again))
	for id, at := range again {
		if time.Now().Before(at) {
			waiting = append(waiting, id)
		}
	}
	fresh, err := t.Store.FreshPrimaries(ctx, templatesWithin, waiting, templatesPerPass)
	if err != nil {
		return err
	}
	failed := make([]error, len(fresh))
	var g errgroup.Group // one that fails ends no other
	g.SetLimit(templatesAtOnce)
	for n, p := range fresh {
		g.Go(func() error {
			_, failed[n] = t.note(ctx, p.Primary)
			return nil
		})
	}
	_ = g.Wait()
	for n, p := range fresh {
		if failed[n] == nil {
			out.Templates++
			delete(again, p.InstanceID)
			continue
		}
		out.Failed++
		again[p.InstanceID] = time.Now().Add(max(t.Every, p.Age))
		level := slog.LevelWarn
		if fault.Is(failed[n], replica.InstanceGone) { // not shown yet, or ended: its agent will say
			level = slog.LevelInfo
		}
		t.Log.Log(ctx, level, "what a new primary was launched with could not be read",
			"client_id", p.Account.ClientID, "agent_id", p.AgentID, "instance_id", p.InstanceID, "code",
			fault.CodeOf(failed[n]), "error", failed[n])
	}
	return ctx.Err()
}

// note reads what a primary was launched with and keeps it.
func (t *Templates) note(ctx context.Context, p Primary) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	template, err := t.Fleet.Template(ctx, p.Account, p.Region, p.InstanceID)
	if err != nil {
		return nil, err
	}
	return template, t.Store.KeepTemplate(ctx, p.AgentID, p.InstanceID, template)
}
