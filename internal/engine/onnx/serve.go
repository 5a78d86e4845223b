//go:build cgo

package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/unix"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine/host"
)

// built says that this binary can be a host of models.
const built = true

// A host never reaches main.
func init() {
	const arguments = 4 // its name, the library, memory, CPU
	if len(os.Args) != arguments || os.Args[0] != hostName {
		return
	}
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

const answersFile = 3 // the descriptor that answers are written to

// serve answers requests from stdin until it ends. What goes wrong with a model is an
// answer; an error is the end of the host.
func serve(library, memory, cpu string) error {
	if err := limit(memory, cpu); err != nil {
		return err
	}
	var loaded *session
	questions, answers := json.NewDecoder(os.Stdin), json.NewEncoder(os.NewFile(answersFile, "answers"))
	for {
		var q host.Request
		if err := questions.Decode(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		a, err := answer(&loaded, library, q)
		if err != nil {
			a = host.Answer{Error: brief(err), Code: fault.CodeOf(err)}
		}
		a.ID = q.ID
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// brief is what the library says without the names of its own types, which it puts before
// the reason.
func brief(err error) string {
	const most = 300
	text := strings.ToValidUTF8(err.Error(), "?")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most/2], "") + " … " + strings.ToValidUTF8(text[len(text)-most/2:], "")
}

// answer carries out one request. A model that was loaded stays for the host's life.
func answer(loaded **session, library string, q host.Request) (host.Answer, error) {
	if q.Load != "" {
		if err := open(library); err != nil {
			return host.Answer{}, err
		}
		s, err := loadSession(q.Data)
		*loaded = s
		return host.Answer{}, err
	}
	if *loaded == nil {
		return host.Answer{}, BadModel.New("no model is loaded")
	}
	outputs, err := (*loaded).run(q.Rows)
	if err != nil {
		return host.Answer{}, err
	}
	var a host.Answer
	for i, out := range []*[]float64{&a.Risks, &a.Ratios} {
		if i >= len(outputs) {
			break
		}
		for _, value := range outputs[i] {
			if number := float64(value); math.IsNaN(number) || math.IsInf(number, 0) {
				return a, BadModel.New("the model answered %v", number) // which JSON cannot carry
			}
			*out = append(*out, float64(value))
		}
	}
	return a, nil
}

// open loads the library. Fails with onnx.off.
func open(path string) error {
	if ort.IsInitialized() {
		return nil
	}
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return Off.New("onnx off: the library at %s cannot be loaded (%s)", path, err.Error())
	}
	return nil
}

// limit sets what this process may use. Memory is what it may write to: the runtime
// reserves addresses that it never uses.
func limit(memory, cpu string) error {
	const threads, files = 512, 64 // of all processes of an unprivileged user; each here is a thread, the filter sees to that
	bytes, err := strconv.ParseUint(memory, 10, 64)
	if err != nil {
		return err
	}
	seconds, err := strconv.ParseUint(cpu, 10, 64)
	if err != nil {
		return err
	}
	limits := map[int]uint64{unix.RLIMIT_CPU: seconds, unix.RLIMIT_CORE: 0, unix.RLIMIT_FSIZE: 0,
		unix.RLIMIT_NOFILE: files, unix.RLIMIT_NPROC: threads}
	if !raceDetector { // its shadow of the memory is larger than any limit
		limits[unix.RLIMIT_DATA] = bytes
	}
	for what, value := range limits {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: value, Max: value}); err != nil {
			return fmt.Errorf("limit %d: %w", what, err)
		}
	}
	return nil
}
