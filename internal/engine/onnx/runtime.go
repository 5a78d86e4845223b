//go:build cgo

package onnx

import (
	"os"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// Runtime is the loaded library. A process has one: the library's environment
// is global, so the first path that loads is kept until the process ends.
type Runtime struct{}

var (
	loading sync.Mutex
	loaded  *Runtime
)

// Open loads the library at path, or returns the one that is loaded already.
// Fails with onnx.off, which says what is missing.
func Open(path string) (*Runtime, error) {
	loading.Lock()
	defer loading.Unlock()
	if loaded != nil {
		return loaded, nil
	}
	if path == "" {
		return nil, Off.New("onnx off: no library is configured (ONNXRUNTIME_LIB); `make onnxruntime` fetches one")
	}
	if _, err := os.Stat(path); err != nil {
		return nil, Off.Wrap(err, "onnx off: there is no library at %s; `make onnxruntime` fetches one", path)
	}
	ort.SetSharedLibraryPath(path)
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return nil, Off.Wrap(err, "onnx off: the library at %s cannot be loaded", path)
	}
	loaded = &Runtime{}
	return loaded, nil
}
