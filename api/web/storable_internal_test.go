package web

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStorable(t *testing.T) {
	t.Parallel()

	for raw, want := range map[string]string{
		`{"a":[1,2.50,true,null,"x"]}`:       `{"a":[1,2.50,true,null,"x"]}`,
		"{\"amis\":{\"failed\":[\"\xd6\"]}}": `{"amis":{"failed":["�"]}}`,
		`["\ud800"]`:                         `["�"]`,
		`{"\u0000":"a\u0000b"}`:              `{"�":"a�b"}`,
		`[1e400000, 12345678901234567890]`:   `["1e400000",12345678901234567890]`,
		`{"a":`:                              `null`,
	} {
		require.JSONEq(t, want, string(storable(json.RawMessage(raw))), raw)
	}
	require.Equal(t, `[12345678901234567890]`, string(storable(json.RawMessage(`[12345678901234567890]`))),
		"to the last digit")
}
