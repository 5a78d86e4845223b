package pricing

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/plaintext"
)

// Report is one pricing-report of an agent, whichever of the deployed programs
// sent it. It was read and not yet judged; see Judge.
type Report struct {
	InstanceID   string
	InstanceType string
	Region       string
	AZ           string
	Mode         agent.Mode
	PoolID       string   // the reporting instance's own; empty on demand
	OnDemand     *float64 // dollars per hour
	CurrentSpot  *float64 // likewise
	Odd          []string // members with a price that is no number
	Pools        []PoolReport
	CollectedAt  time.Time // zero: the oldest agents do not say
}

// PoolReport is one pool of a report, as received. Price is nil when it was
// missing or no number.
type PoolReport struct {
	PoolID       string
	InstanceType string
	AZ           string
	Price        *float64
}

// maxPools bounds a report: a large region has some ten thousand pools of all types.
const maxPools = 20_000

// wire is all shapes at once. The current agents put prices under "pricing" and
// say mode and pool_id; the oldest put them at the top and say current_mode and
// current_pool_id.
type wire struct {
	Instance *struct {
		InstanceID    text `json:"instance_id"`
		InstanceType  text `json:"instance_type"`
		Region        text `json:"region"`
		AZ            text `json:"az"`
		Mode          text `json:"mode"`
		CurrentMode   text `json:"current_mode"`
		PoolID        text `json:"pool_id"`
		CurrentPoolID text `json:"current_pool_id"`
	} `json:"instance"`
	Pricing *struct {
		OnDemand    number     `json:"on_demand_price"`
		CurrentSpot number     `json:"current_spot_price"`
		Pools       []wirePool `json:"spot_pools"`
		CollectedAt text       `json:"collected_at"`
	} `json:"pricing"`
	OnDemand struct {
		Price number `json:"price"`
	} `json:"on_demand_price"`
	Pools []wirePool `json:"spot_pools"`
}

type wirePool struct {
	PoolID       text   `json:"pool_id"`
	InstanceType text   `json:"instance_type"`
	AZ           text   `json:"az"`
	Price        number `json:"price"`
}

// text is a string, whose characters that are not shown are replaced; another scalar or
// null is none, so that one odd field of one pool does not lose the others.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(raw []byte) error {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		*t = text(plaintext.CleanLine(s))
	}
	return nil
}

// number is a JSON number; anything else is none. odd is set for what is neither a number nor null.
type number struct {
	value *float64
	odd   bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(raw []byte) error {
	var f *float64
	n.odd = json.Unmarshal(raw, &f) != nil
	if !n.odd {
		n.value = f
	}
	return nil
}

// ParseReport reads the body of a pricing-report. An empty object is an empty
// report. Fails with pricing.malformed_report.
func ParseReport(body []byte) (Report, error) {
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '{' {
		return Report{}, Malformed.New("a pricing report must be a JSON object")
	}
	var w wire
	if err := json.Unmarshal(withoutNaN(body), &w); err != nil {
		if typed, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Report{}, Malformed.Wrap(err, "%s must be %s", typed.Field, kindOf(typed))
		}
		return Report{}, Malformed.Wrap(err, "a pricing report must be valid JSON")
	}
	var r Report
	if i := w.Instance; i != nil {
		r.InstanceID, r.InstanceType, r.Region, r.AZ = string(i.InstanceID), string(i.InstanceType), string(
			i.Region), string(i.AZ)
		r.Mode, r.PoolID = modeOf(string(i.Mode), string(i.CurrentMode)), string(i.PoolID)
		if r.PoolID == "" {
			r.PoolID = string(i.CurrentPoolID)
		}
	}
	pools := w.Pools
	onDemand, spot := w.OnDemand.Price, number{}
	if p := w.Pricing; p != nil {
		pools, onDemand, spot = p.Pools, p.OnDemand, p.CurrentSpot
		if p.CollectedAt != "" {
			at, err := ParseTime(string(p.CollectedAt))
			if err != nil {
				return Report{}, Malformed.Wrap(err,
					"pricing.collected_at must be an RFC 3339 time, with or without a zone")
			}
			r.CollectedAt = at
		}
	}
	r.OnDemand, r.CurrentSpot = onDemand.value, spot.value
	if onDemand.odd {
		r.Odd = append(r.Odd, "on_demand_price")
	}
	if spot.odd {
		r.Odd = append(r.Odd, "current_spot_price")
	}
	if len(pools) > maxPools {
		return Report{}, Malformed.New("a pricing report must not name more than %d pools", maxPools)
	}
	for _, p := range pools {
		r.Pools = append(r.Pools, PoolReport{string(p.PoolID), string(p.InstanceType), string(p.AZ), p.Price.value})
	}
	return r, nil
}

// noNumbers are what Python's json writes for floats that are none. They are not JSON.
var noNumbers = []string{"NaN", "-Infinity", "Infinity"}

// withoutNaN makes null of them outside strings, so that one price that is none does not
// lose the others.
func withoutNaN(body []byte) []byte {
	if !bytes.Contains(body, []byte("NaN")) && !bytes.Contains(body, []byte("Infinity")) {
		return body
	}
	out := make([]byte, 0, len(body))
	inside := false
	for i := 0; i < len(body); i++ {
		switch {
		case inside && body[i] == '\\' && i+1 < len(body):
			out = append(out, body[i])
			i++
		case body[i] == '"':
			inside = !inside
		case !inside:
			if n := noNumberAt(body[i:]); n > 0 {
				out = append(out, "null"...)
				i += n - 1
				continue
			}
		}
		out = append(out, body[i])
	}
	return out
}

func noNumberAt(rest []byte) int {
	for _, word := range noNumbers {
		if bytes.HasPrefix(rest, []byte(word)) {
			return len(word)
		}
	}
	return 0
}

func kindOf(err *json.UnmarshalTypeError) string {
	if strings.HasPrefix(err.Type.String(), "[]") {
		return "a list"
	}
	return "an object"
}

func modeOf(words ...string) agent.Mode {
	for _, w := range words {
		if m := agent.ParseMode(w); m != agent.ModeUnknown {
			return m
		}
	}
	return agent.ModeUnknown
}

// layouts are the ways in which deployed agents write times; without a zone it
// is UTC.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"}

// ParseTime reads a time with or without fraction and zone.
func ParseTime(s string) (time.Time, error) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a time", s)
}

// submissionID names one price of a report: the same report that comes again is
// the same submissions.
func submissionID(agentID, instanceID, poolID string, at time.Time, price USD) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%d\x00%d", agentID, instanceID, poolID, at.UnixMicro(),
		price))
	return hex.EncodeToString(sum[:16])
}
