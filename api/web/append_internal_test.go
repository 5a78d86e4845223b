package web

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAppendText holds strings written by hand to encoding/json's.
func FuzzAppendText(f *testing.F) {
	for _, s := range []string{"", "t3.medium.us-east-1a", `say "hi" \\`, "ö\u2028\x00\x1f\x7f", "\xff broken",
		"<a href='#'>&</a>"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := EncodeJSON(s)
		require.NoError(t, err)
		require.Equal(t, string(want), string(*FinishAnswer[string](AppendText(nil, s))))
	})
}

// FuzzAppendNumber does the same for numbers.
func FuzzAppendNumber(f *testing.F) {
	for _, n := range []float64{0, math.Copysign(0, -1), 1, -1, 0.0416, 1.0 / 3, 1e-6, 1e-7, -1e-9, 1e20, 1e21,
		math.MaxFloat64, math.SmallestNonzeroFloat64} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n float64) {
		want, err := json.Marshal(n)
		if err != nil {
			want = []byte("null")
		}
		require.Equal(t, string(want), string(AppendNumber(nil, n)))
	})
}
