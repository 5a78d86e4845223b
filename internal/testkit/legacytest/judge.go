package legacytest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Verdict is how an answer stands to the recorded one.
type Verdict string

// Verdicts.
const (
	Same     Verdict = "same"     // the same status, and every member of the recorded answer
	Mended   Verdict = "mended"   // the backend failed or answered with a page; ours is JSON below 500, or 503
	Intended Verdict = "intended" // a row of the table says so
	Differs  Verdict = "differs"
)

// volatile members say something of the machine or the moment.
var volatile = map[string]bool{
	"failover_time_ms":     true,
	"age_seconds":          true,
	"connectionPool":       true,
	"size":                 true,
	"uptimeHours":          true,
	"hoursSinceLastSwitch": true,
	"timestamp":            true,
	"elapsed":              true,
	"files":                true,
	"filesUploaded":        true,
	"version":              true,
}

// Judge compares an answer with the recorded one, without the table. Why says
// what differs.
func Judge(r Recording, names Names, status int, body []byte) (v Verdict, why string) {
	var got any
	isJSON := json.Unmarshal(body, &got) == nil
	if r.Status >= 500 || r.Status >= 400 && r.Answer == nil {
		if isJSON && (status < 500 || status == 503) {
			return Mended, ""
		}
		return Differs, fmt.Sprintf("the backend's own %d: JSON below 500 expected, %d found", r.Status, status)
	}
	switch {
	case status != r.Status:
		return Differs, fmt.Sprintf("status %d expected, %d found: %s", r.Status, status, body)
	case !isJSON:
		return Differs, "the answer is not JSON"
	case r.Answer == nil:
		return Same, ""
	}
	var want any
	if err := json.Unmarshal(r.Answer, &want); err != nil {
		return Differs, err.Error()
	}
	if why := differs(names, want, got, ""); why != "" {
		return Differs, why
	}
	return Same, ""
}

// differs names the first difference; "" when there is none. Null says nothing
// about a type, 0 and 1 are false and true, further members are welcome, and the
// objects of a list may come in another order: times that tie leave it open.
func differs(names Names, want, got any, path string) string {
	switch w := want.(type) {
	case nil:
		return ""
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return path + ": an object expected"
		}
		for k, v := range w {
			found, given := g[k]
			switch {
			case volatile[k]:
			case !given:
				return path + "/" + k + ": missing"
			default:
				if d := differs(names, v, found, path+"/"+k); d != "" {
					return d
				}
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return fmt.Sprintf("%s: a list of %d expected, %.300v found", path, len(w), got)
		}
		return listDiffers(names, w, g, path)
	case string:
		open := strings.Contains(w, "<") || strings.Contains(w, "Allowed types") // the backend listed them in no order
		if g, ok := got.(string); !ok || !open && names.Fill(w) != g {
			return fmt.Sprintf("%s: %q expected, %.300v found", path, names.Fill(w), got)
		}
		return ""
	default:
		a, okA := number(want)
		b, okB := number(got)
		if !okA || !okB || math.Abs(a-b) > 1e-6 {
			return fmt.Sprintf("%s: %v expected, %.300v found", path, want, got)
		}
		return ""
	}
}

func listDiffers(names Names, want, got []any, path string) string {
	left := append([]any(nil), got...)
	for i, w := range want {
		hit, why := -1, ""
		for j, g := range left {
			if why = differs(names, w, g, path+"/"+strconv.Itoa(i)); why == "" {
				hit = j
				break
			}
		}
		if hit < 0 {
			return fmt.Sprintf("%s/%d: no such item: %s", path, i, why)
		}
		left = append(left[:hit], left[hit+1:]...)
	}
	return ""
}

func number(v any) (float64, bool) {
	switch n := v.(type) {
	case bool:
		if n {
			return 1, true
		}
		return 0, true
	case float64:
		return n, true
	default:
		return 0, false
	}
}
