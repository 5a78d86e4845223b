package ec2sim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// stateFile keeps a world on disk as a snapshot and a journal of the rows that
// changed since, one JSON record per line in both. A call's changes are in the
// journal before its answer leaves, so a process that is killed forgets
// nothing that was answered.
type stateFile struct {
	path    string
	journal *os.File
	behind  bool // the journal misses rows: the next write is a snapshot
}

// record is one row; a null row is gone.
type record struct {
	Table string          `json:"table"`
	Key   string          `json:"key"`
	Row   json.RawMessage `json:"row"`
}

const journalSuffix = ".journal"

// Open returns a cloud whose state is in the file at path and in the journal
// beside it. Seed, delays and all that the control API sets come from the file
// when there is one; the options are then only for what is not stored.
func Open(path string, o Options) (*Server, error) {
	s := New(o)
	if err := s.world.read(path, s.opts); err != nil {
		return nil, err
	}
	s.file = &stateFile{path: path}
	if err := s.file.compact(s.world); err != nil {
		return nil, err
	}
	return s, nil
}

// Save writes the whole state to a file of its own, in one step.
func (s *Server) Save(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil && s.file.path == path {
		return s.file.compact(s.world)
	}
	defer s.world.settle()
	return writeSnapshot(path, s.world)
}

// flush appends the changed rows to the journal; without a file they only count as written.
func (s *Server) flush() error {
	if s.file == nil {
		s.world.settle()
		return nil
	}
	if err := s.file.append(s.world); err != nil {
		s.opts.Logger.Error("the simulator's state could not be written", "path", s.file.path, "error", err)
		return fail("InternalError", "The simulator cannot write its state.")
	}
	return nil
}

// settle forgets which rows changed.
func (w *world) settle() {
	for _, t := range w.tables() {
		_ = t.changes(func(string, any) error { return nil })
	}
}

// lines renders the changed rows of all tables, in a stable order.
func (w *world) lines() ([]byte, error) {
	var out bytes.Buffer
	tables := w.tables()
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		err := tables[name].changes(func(key string, row any) error {
			raw, err := json.Marshal(row)
			if err != nil {
				return err
			}
			line, err := json.Marshal(record{name, key, raw})
			out.Write(append(line, '\n'))
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("write table %s: %w", name, err)
		}
	}
	return out.Bytes(), nil
}

func (f *stateFile) append(w *world) error {
	if f.behind {
		return f.compact(w)
	}
	text, err := w.lines()
	if err == nil && len(text) > 0 {
		_, err = f.journal.Write(text)
	}
	f.behind = err != nil
	return err
}

// compact replaces snapshot and journal by a new snapshot. Between its two
// steps the old journal stands beside the new snapshot, which does no harm: the
// last row it has under a key is the one in the snapshot.
func (f *stateFile) compact(w *world) error {
	if err := writeSnapshot(f.path, w); err != nil {
		return err
	}
	if err := f.close(); err != nil {
		return err
	}
	journal, err := os.OpenFile(f.path+journalSuffix, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the simulator's journal: %w", err)
	}
	f.journal, f.behind = journal, false
	return nil
}

func (f *stateFile) close() error {
	if f.journal == nil {
		return nil
	}
	err := f.journal.Close()
	f.journal = nil
	return err
}

// writeSnapshot writes all rows beside the file and renames, so that a reader
// finds the old state or the new one.
func writeSnapshot(path string, w *world) (err error) {
	for _, t := range w.tables() {
		t.every()
	}
	text, err := w.lines()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the simulator's directory: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write the simulator's state: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(text)
	if err == nil {
		err = temp.Sync()
	}
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the simulator's state: %w", err)
	}
	return nil
}

// read loads snapshot and journal over a new world. No file is an empty cloud.
// The last line of a journal may be torn by a crash: it was never answered, and it is left out.
func (w *world) read(path string, o Options) error {
	for _, name := range []string{path, path + journalSuffix} {
		if err := w.readLines(name, name != path); err != nil {
			return fmt.Errorf("read the simulator's state from %s: %w", name, err)
		}
	}
	w.revive(o.Now)
	return nil
}

func (w *world) readLines(name string, mayTear bool) error {
	f, err := os.Open(name) // #nosec G304 -- the path is the operator's own
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read
	tables := w.tables()
	for in := bufio.NewReader(f); ; {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if len(line) > 0 && !mayTear {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		t, ok := tables[r.Table]
		if !ok {
			return fmt.Errorf("unknown table %q", r.Table)
		}
		if err := t.load(r.Key, r.Row); err != nil {
			return fmt.Errorf("row %s of %s: %w", r.Key, r.Table, err)
		}
	}
}
