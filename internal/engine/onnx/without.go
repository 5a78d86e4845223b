//go:build !cgo

package onnx

import (
	"context"

	"spotkeeper/internal/engine"
)

// Runtime is never had in a program without cgo.
type Runtime struct{}

// Open fails with onnx.off.
func Open(string) (*Runtime, error) {
	return nil, Off.New("onnx off: this program was built without ONNX; the images with -onnx at the end of their tag have it")
}

// Version is empty.
func (*Runtime) Version() string { return "" }

// Load fails with onnx.off.
func (*Runtime) Load(context.Context, []byte) (*Engine, error) { return nil, Off.New("onnx off") }

// Engine is never had in a program without cgo.
type Engine struct{ engine.Rules }

// Close does nothing.
func (*Engine) Close() error { return nil }
