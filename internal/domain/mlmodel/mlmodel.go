// Package mlmodel judges uploaded models and engines: what a session is, which of
// its files runs, and how a new one earns its way to the whole fleet. It is pure:
// time and readings come in, verdicts come out.
package mlmodel

import (
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
)

// Ways to fail.
var (
	NoFiles      = fault.Define("mlmodel.no_files", fault.Invalid)       // an upload without files
	BadType      = fault.Define("mlmodel.bad_file_type", fault.Invalid)  // a file that is not stored
	NoSession    = fault.Define("mlmodel.no_session_id", fault.Invalid)  // no session is named
	NotFound     = fault.Define("mlmodel.not_found", fault.NotFound)     // no such session, or no rollout of it
	NoFallback   = fault.Define("mlmodel.no_fallback", fault.NotFound)   // there is nothing to go back to
	Refused      = fault.Define("mlmodel.refused", fault.Invalid)        // it did not pass its validation
	Busy         = fault.Define("mlmodel.busy", fault.Conflict)          // another rollout is under way
	AlreadyLive  = fault.Define("mlmodel.already_live", fault.Conflict)  // nothing to roll out
	BadPlan      = fault.Define("mlmodel.bad_plan", fault.Invalid)       // a plan that means nothing
	WrongPhase   = fault.Define("mlmodel.wrong_phase", fault.Conflict)   // the command does not fit the rollout's phase
	LoadFailed   = fault.Define("mlmodel.not_loaded", fault.Unavailable) // this process cannot load what should serve
	NotJustOne   = fault.Define("mlmodel.not_just_one", fault.Invalid)   // a session runs one file
	TooManyFiles = fault.Define("mlmodel.too_many_files", fault.Invalid) // more than a session holds
)

// Kind says what a session holds. Each kind has its own live session.
type Kind string

// Kinds.
const (
	Models Kind = "models" // forecasts behind the built-in rules
	Engine Kind = "engine" // decides by itself, or replaces the forecasts
)

// State is how far a session has come. The words are those of the deployed page.
type State string

// States.
const (
	Uploaded State = "uploaded" // stored; nothing runs it yet
	Active   State = "active"   // live, or the fallback
	Archived State = "archived" // it was live, or its rollout ended otherwise
	Failed   State = "refused"  // it did not pass its validation
)

// Session is one upload. At most one of its kind is live, and at most one the
// fallback.
type Session struct {
	ID          string     `json:"id"`
	Kind        Kind       `json:"kind"`
	State       State      `json:"state"`
	Live        bool       `json:"live"`
	Fallback    bool       `json:"fallback"`
	Runner      string     `json:"runner,omitempty"`  // of the engine that runs it; known from its validation on
	Version     string     `json:"version,omitempty"` // likewise; what decisions are recorded under
	UploadedBy  string     `json:"uploaded_by,omitempty"`
	Code        string     `json:"code,omitempty"` // why it was refused
	Error       string     `json:"error,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
	ActivatedAt *time.Time `json:"activated_at,omitempty"`
	Files       []File     `json:"files"`
}

// File is one file of a session, as it is kept.
type File struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // SHA-256 in hex
	Size   int64  `json:"size"`
}

// Size is how large the files are together.
func (s *Session) Size() (total int64) {
	for _, f := range s.Files {
		total += f.Size
	}
	return total
}

// Pending says whether the session waits to be activated.
func (s *Session) Pending() bool { return s.State == Uploaded && !s.Live && !s.Fallback }

// Types lists the endings that a kind takes, as the deployed page offers them.
func (k Kind) Types() []string {
	if k == Engine {
		return []string{".py", ".pkl", ".joblib"}
	}
	return []string{".pkl", ".joblib", ".h5", ".pb", ".pth", ".onnx", ".pt"}
}

// MaxFiles is how many files a session holds.
const MaxFiles = 32

var unsafe = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// FileName makes a name that is safe on any disk of what a browser sent, and
// refuses a type that the kind does not take. Fails with mlmodel.no_files and
// mlmodel.bad_file_type.
func FileName(k Kind, sent string) (string, error) {
	name := path.Base(strings.ReplaceAll(sent, `\`, "/"))
	name = strings.Trim(unsafe.ReplaceAllString(name, "_"), "._-")
	if sent == "" || name == "" {
		return "", NoFiles.New("No files selected")
	}
	if len(name) > 200 {
		name = name[len(name)-200:]
	}
	if !slices.Contains(k.Types(), strings.ToLower(path.Ext(name))) {
		return "", BadType.New("File type not allowed: %s. Allowed types: %s", name, strings.Join(k.Types(), ", "))
	}
	return name, nil
}

// Main is the file of a session that runs. An engine file (.py) wins over a
// model in ONNX, and that over pickled ones; of the best there is exactly one, so
// that it is clear which decides. Fails with engine.no_runner, in a
// sentence that says which format to use, and with mlmodel.not_just_one.
func (s *Session) Main() (File, error) {
	for _, group := range [][]string{{".py"}, {".onnx"}, {".pkl", ".joblib"}} {
		var found []File
		for _, f := range s.Files {
			if slices.Contains(group, strings.ToLower(path.Ext(f.Name))) {
				found = append(found, f)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return File{}, NotJustOne.New(
				"The session holds %s and %s: upload one model at a time, with its preparation steps inside it",
				found[0].Name, found[1].Name)
		}
	}
	if len(s.Files) == 0 {
		return File{}, NoFiles.New("The session has no files")
	}
	_, err := engine.RunnerOf(s.Files[0].Name)
	return File{}, err
}

// Decider is the session that decides among those that are live, one of each
// kind at most: the one that was activated last, so that what an operator did
// last takes effect. Nil means the built-in rules.
func Decider(live []Session) *Session {
	var last *Session
	for i := range live {
		s := &live[i]
		if !s.Live || s.ActivatedAt == nil {
			continue
		}
		if last == nil || s.ActivatedAt.After(*last.ActivatedAt) {
			last = s
		}
	}
	return last
}
