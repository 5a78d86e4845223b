//go:build !cgo

package onnx

// built says that this binary can be a host of models.
const built = false
