package web

import (
	"bytes"
	"encoding/json"
	"strconv"

	"spotkeeper/internal/domain/plaintext"
)

// storable rewrites valid JSON so that Postgres can store it as jsonb, which accepts no
// null character, no half of a surrogate pair, no invalid UTF-8 and no number of a
// hundred thousand digits. Characters it cannot hold, and those that people would not
// see, are replaced (plaintext.CleanLine), and such numbers become texts. JSON that cannot be read is the null of JSON.
func storable(raw json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil { // this alone replaces invalid UTF-8 and surrogates
		return json.RawMessage("null")
	}
	out, err := json.Marshal(normalizeStored(v))
	if err != nil {
		return json.RawMessage("null")
	}
	return out
}

func normalizeStored(v any) any {
	switch v := v.(type) {
	case string:
		return plaintext.CleanLine(v)
	case json.Number:
		if _, err := strconv.ParseFloat(v.String(), 64); err != nil {
			return v.String()
		}
	case []any:
		for i := range v {
			v[i] = normalizeStored(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			out[plaintext.CleanLine(name)] = normalizeStored(member)
		}
		return out
	}
	return v
}
