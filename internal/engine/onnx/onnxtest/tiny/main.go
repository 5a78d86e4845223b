// Command tiny writes to standard output the small risk model that
// docs/engine.md measures: one tree over the interruption rate of a pool.
package main

import (
	"fmt"
	"os"
	"slices"

	"spotkeeper/internal/engine"
	"spotkeeper/internal/engine/onnx/onnxtest"
)

func main() {
	model := onnxtest.Model{
		Feature: slices.Index(engine.FeatureNames(), "interruptions_per_day"), Inputs: len(engine.FeatureList),
		Splits: []onnxtest.Split{
			{Below: .005, Value: .003}, {Below: .01, Value: .008}, {Below: .015, Value: .013},
			{Below: .02, Value: .018}, {Below: .03, Value: .025},
			{Below: .05, Value: .04}, {Below: .08, Value: .065}, {Below: .12, Value: .1}, {Below: .2, Value: .15},
			{Below: .4, Value: .26},
		}, Otherwise: .5,
	}
	if _, err := os.Stdout.Write(model.Bytes()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
