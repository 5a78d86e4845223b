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
	"strconv"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const suffix = ".json.gz"

// Load returns the histories of a directory by their paths. A directory that is
// not there has none.
func Load(dir string) (map[string]*history.History, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
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

// GateVersions returns the versions that a run decided on, by their change ids.
func GateVersions(h *history.History) []string {
	var out []string
	for _, e := range h.GetEvents() {
		var id string
		if detail(e, "Version", "change-id", &id) {
			out = append(out, id)
		}
	}
	return out
}

// LocalSteps returns the local activities of each workflow task, by name.
func LocalSteps(h *history.History) [][]string {
	var tasks [][]string
	for _, e := range h.GetEvents() {
		if e.GetEventType() == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
			tasks = append(tasks, nil)
		}
		var step struct{ ActivityType string }
		if detail(e, "LocalActivity", "data", &step) {
			tasks[len(tasks)-1] = append(tasks[len(tasks)-1], step.ActivityType)
		}
	}
	return tasks
}

// detail reads what a marker of that name says, if the event is one.
func detail(e *history.HistoryEvent, marker, key string, into any) bool {
	m := e.GetMarkerRecordedEventAttributes()
	return m.GetMarkerName() == marker &&
		converter.GetDefaultDataConverter().FromPayloads(m.GetDetails()[key], into) == nil
}

// Record adds histories of what ran on a task queue, or on that of its jobs, to dir, which
// has a directory per workflow type, at most perKind of each. Histories with the same
// sequence of event types count as one. Earlier recordings stay, because such runs may
// still be in progress. Nothing is added to a type and version that is there already. It
// returns how many there are of each type that ran.
func Record(ctx context.Context, c client.Client, queue, dir string, perKind int) (map[string]int, error) {
	kinds := map[string]*shelf{}
	var page []byte
	for {
		res, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query:         fmt.Sprintf("TaskQueue IN (%q, %q) AND ExecutionStatus != 'Running'", queue, queue+"-jobs"),
			PageSize:      500,
			NextPageToken: page,
		})
		if err != nil {
			return nil, err
		}
		for _, e := range res.GetExecutions() {
			kind := DirectoryOf(e.GetType().GetName())
			s := kinds[kind]
			if s == nil {
				if s, err = open(filepath.Join(dir, kind)); err != nil {
					return nil, err
				}
				kinds[kind] = s
			}
			if s.added >= perKind {
				continue
			}
			h, err := fetch(ctx, c, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
			if err != nil {
				return nil, err
			}
			if err := s.put(h); err != nil {
				return nil, err
			}
		}
		if page = res.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	there := map[string]int{}
	for kind, s := range kinds {
		there[kind] = s.before + s.added
	}
	return there, nil
}

// shelf is the directory of one workflow type.
type shelf struct {
	dir           string
	versions      map[string]bool // recorded before, by the versions they decided on
	shapes        map[string]bool
	before, added int
	next          int // what the next file is called; the oldest may have gone
}

func open(dir string) (*shelf, error) {
	recorded, err := Load(dir)
	s := &shelf{dir: dir, versions: map[string]bool{}, shapes: map[string]bool{}, before: len(recorded)}
	for file, h := range recorded {
		s.versions[version(h)] = true
		if n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(file), suffix)); err == nil {
			s.next = max(s.next, n)
		}
	}
	s.next++
	return s, err
}

func version(h *history.History) string {
	return strings.Join(slices.Sorted(slices.Values(GateVersions(h))), " ")
}

func (s *shelf) put(h *history.History) error {
	shape := Shape(h)
	if s.versions[version(h)] || s.shapes[shape] {
		return nil
	}
	s.shapes[shape] = true
	s.added++
	s.next++
	return write(filepath.Join(s.dir, fmt.Sprintf("%02d"+suffix, s.next-1)), h)
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
