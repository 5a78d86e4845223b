// Package onnx runs models in the ONNX format through ONNX Runtime, a shared
// library beside the binary. It forecasts the day ahead for each place; the
// rules of package engine act on that, limits and all. Without the library the
// package says "onnx off" and nothing else in the program changes.
//
// The library is called through cgo. A program that is built without cgo, which is one
// file without any library, has no ONNX and says so.
package onnx

import "spotkeeper/internal/domain/fault"

// Ways to fail.
var (
	Off      = fault.Define("onnx.off", fault.Unavailable)   // there is no library to run models with
	BadModel = fault.Define("onnx.bad_model", fault.Invalid) // not ONNX, or not the signature we feed
)

// The outputs a model may have. One output of whatever name is the risk.
const (
	OutputRisk  = "risk"        // probability of an interruption within a day, 0..1
	OutputPrice = "price_ratio" // mean price of the coming day as a share of on-demand; optional
)
