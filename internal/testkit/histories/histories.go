// Package histories keeps workflow histories as files: what a real server recorded
// is replayed by tests, so that a change which running workflows could not follow
// is found before it is deployed.
package histories

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Load returns the histories of a directory by their paths. A directory that is
// not there has none.
func Load(dir string) (map[string]*history.History, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json.gz"))
	if err != nil {
		return nil, err
	}
	out := map[string]*history.History{}
	for _, file := range files {
		if out[file], err = Read(file); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Read reads one history.
func Read(file string) (*history.History, error) {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	h := &history.History{}
	if err := protojson.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return h, nil
}

// Prefixes returns the history as it stood at the end of each of its workflow
// tasks: what another worker finds when the one at work dies right then. The last
// one is the whole history.
func Prefixes(h *history.History) []*history.History {
	var out []*history.History
	for i, e := range h.GetEvents() {
		if e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_STARTED {
			out = append(out, &history.History{Events: h.GetEvents()[:i+1]})
		}
	}
	return append(out, h)
}

// Record keeps the histories of what ran on a task queue under dir, in a directory
// per workflow type, at most perKind of each. Those of equal shape are one: the
// sequence of their event types is what they are told apart by. It returns how
// many there are of each type.
func Record(ctx context.Context, c client.Client, queue, dir string, perKind int) (map[string]int, error) {
	seen, kept := map[string]bool{}, map[string]int{}
	var page []byte
	for {
		res, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: fmt.Sprintf("TaskQueue = %q AND ExecutionStatus != 'Running'", queue), PageSize: 500, NextPageToken: page})
		if err != nil {
			return kept, err
		}
		for _, e := range res.GetExecutions() {
			kind := Kind(e.GetType().GetName())
			if kept[kind] >= perKind {
				continue
			}
			h, err := fetch(ctx, c, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
			if err != nil {
				return kept, err
			}
			shape := kind + " " + Shape(h)
			if seen[shape] {
				continue
			}
			seen[shape] = true
			kept[kind]++
			if err := write(filepath.Join(dir, kind, fmt.Sprintf("%02d.json.gz", kept[kind])), h); err != nil {
				return kept, err
			}
		}
		if page = res.GetNextPageToken(); len(page) == 0 {
			return kept, nil
		}
	}
}

// Shape is the sequence of a history's events, without their content.
func Shape(h *history.History) string {
	names := make([]string, 0, len(h.GetEvents()))
	for _, e := range h.GetEvents() {
		name := strings.TrimPrefix(e.GetEventType().String(), "EVENT_TYPE_")
		if m := e.GetMarkerRecordedEventAttributes(); m != nil {
			name += ":" + m.GetMarkerName()
		}
		names = append(names, name)
	}
	return strings.Join(slices.Compact(names), " ")
}

func fetch(ctx context.Context, c client.Client, id, run string) (*history.History, error) {
	h := &history.History{}
	for it := c.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); it.HasNext(); {
		e, err := it.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, scrub(e))
	}
	return h, nil
}

// scrub takes out who did it and on which machine: it says nothing to a replay.
func scrub(e *history.HistoryEvent) *history.HistoryEvent {
	e = proto.CloneOf(e)
	anonymize(e.ProtoReflect())
	return e
}

func anonymize(m protoreflect.Message) {
	if q, ok := m.Interface().(*taskqueue.TaskQueue); ok && q.GetKind() == enums.TASK_QUEUE_KIND_STICKY {
		q.Name = "sticky"
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Kind() == protoreflect.StringKind && !f.IsList() && !f.IsMap() && f.Name() == "identity":
			m.Set(f, protoreflect.ValueOfString("recorded"))
		case f.Kind() != protoreflect.MessageKind || f.IsMap():
		case f.IsList():
			for i := range v.List().Len() {
				anonymize(v.List().Get(i).Message())
			}
		default:
			anonymize(v.Message())
		}
		return true
	})
}

func write(file string, h *history.History) error {
	raw, err := protojson.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	f, err := os.Create(filepath.Clean(file))
	if err != nil {
		return err
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err == nil {
		_, err = z.Write(raw)
	}
	if err == nil {
		err = z.Close()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return err
}
