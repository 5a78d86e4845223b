// Package legacytest holds answers of ours to what was recorded of the backend
// that this server replaces: the exchanges, the table of the differences that are
// meant, and the judgement of one answer.
package legacytest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Recording is one exchange with the legacy backend. Ids and tokens are names in
// double braces, other ids and times are <uuid>, <ts> and the like.
type Recording struct {
	Seq           int
	Route         string
	Case          string
	Method        string
	Path          string
	Authorization *string
	ContentType   string `json:"content_type"`
	Headers       map[string]string
	Body          *string
	Files         []File            // of a multipart upload, each of the given size
	Keep          map[string]string // names for members of the answer
	Status        int
	Answer        json.RawMessage // nil: it was not JSON
}

// Name says which exchange it is.
func (r Recording) Name() string { return fmt.Sprintf("%s | %s", r.Route, r.Case) }

// File is a file of an upload.
type File struct {
	Name string
	Size int
}

// UnmarshalJSON reads a pair of name and size.
func (f *File) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&f.Name, &f.Size})
}

// Load reads recordings, one a line, in the order in which they were made.
func Load(path string) ([]Recording, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []Recording
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		var r Recording
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("recording %d: %w", len(out)+1, err)
		}
		out = append(out, r)
	}
	return out, lines.Err()
}

// Names are what a replay learned: the values behind the names in double braces.
type Names map[string]string

// Fill puts the values into a text. A name without a value stays.
func (n Names) Fill(text string) string {
	for name, value := range n {
		text = strings.ReplaceAll(text, "{{"+name+"}}", value)
	}
	return text
}

// FillBody is Fill for a JSON body: a missing value is null, which is
// what a program sends that does not know the value.
func (n Names) FillBody(text string) string { return unlearned.ReplaceAllString(n.Fill(text), "null") }

var unlearned = regexp.MustCompile(`"\{\{\w+\}\}"`)

// Learn keeps the members of an answer that later exchanges need. Members that
// are missing are skipped; a later exchange that needs the value gets null.
func (n Names) Learn(r Recording, body []byte) {
	if len(r.Keep) == 0 {
		return
	}
	var answer any
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	for name, path := range r.Keep {
		if text, ok := member(answer, path).(string); ok && text != "" {
			n[name] = text
		}
	}
}

// member follows a path like client.id, 0.id or replicas[status=ready].id.
func member(v any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		step, condition, filtered := strings.Cut(step, "[")
		switch at := v.(type) {
		case map[string]any:
			v = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
		if filtered {
			v = firstWith(v, strings.TrimSuffix(condition, "]"))
		}
	}
	return v
}

func firstWith(list any, condition string) any {
	key, want, _ := strings.Cut(condition, "=")
	items, _ := list.([]any)
	for _, item := range items {
		if o, ok := item.(map[string]any); ok && o[key] == want {
			return item
		}
	}
	return nil
}
