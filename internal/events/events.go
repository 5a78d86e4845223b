// Package events reads what AWS sends about instances: EventBridge events, the messages of
// Auto Scaling lifecycle hooks, and both of them wrapped by SNS. It is pure.
//
// Sources: "EventBridge events for Spot Instance interruption notices", "… rebalance
// recommendations", "Monitor Amazon EC2 state changes", "AWS Health events for Amazon
// EventBridge" and "Amazon EC2 Auto Scaling lifecycle hooks" in the AWS guides. Two things
// that they do not say: the ARNs in `resources` have another form for each kind of event,
// so only `detail` is read; and `region` of a Health event is where it was delivered, the
// place is `detail.eventRegion`.
package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Kind is the subject of an event.
type Kind string

// Kinds.
const (
	SpotInterruption     Kind = "spot-interruption"
	CapacityInterruption Kind = "capacity-interruption" // of an interruptible capacity reservation
	Rebalance            Kind = "rebalance"
	StateChange          Kind = "state"
	Health               Kind = "health" // scheduled maintenance or retirement
	LifecycleHook        Kind = "asg"    // an Auto Scaling group ends an instance and waits
	Test                 Kind = "test"   // Auto Scaling sends one when a hook is made
	Unknown              Kind = "unknown"
)

// Lead is what AWS gives with a spot interruption, whose event names no deadline.
const Lead = 2 * time.Minute

// Event is one thing about one instance.
type Event struct {
	ID         string
	Kind       Kind
	Account    string
	Region     string
	InstanceID string
	At         time.Time // when AWS said it; zero when that cannot be read
	Deadline   time.Time // when the instance ends; zero when the event has no time that can be read
	Action     string    // of an interruption: terminate, stop or hibernate
	State      string    // of a StateChange
	Hook       *Hook     // of a LifecycleHook
	Reason     string    // of Health: the type of the event, such as AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED
	Name       string    // of Unknown: the detail-type
}

// Arrived gives an event whose time cannot be read the one at which it came: what it says
// of an instance holds all the same.
func (e *Event) Arrived(at time.Time) {
	if !e.At.IsZero() {
		return
	}
	e.At = at.UTC()
	if e.Deadline.IsZero() && (e.Kind == SpotInterruption || e.Kind == CapacityInterruption) {
		e.Deadline = e.lead()
	}
}

// lead is the deadline of an interruption that names none. A hibernation begins at once.
func (e *Event) lead() time.Time {
	if e.Action == "hibernate" {
		return e.At
	}
	return e.At.Add(Lead)
}

// Hook is what completes a lifecycle action.
type Hook struct {
	Group, Name, Token string
}

// envelope has the members of all wrappings.
type envelope struct {
	// EventBridge.
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"`
	Account    string          `json:"account"`
	Region     string          `json:"region"`
	Time       string          `json:"time"`
	Detail     json.RawMessage `json:"detail"`
	// SNS.
	Type    string `json:"Type"`
	Message string `json:"Message"`
}

// direct is a message of Auto Scaling that did not come by EventBridge.
type direct struct {
	Event     string `json:"Event"`
	AccountID string `json:"AccountId"`
	RequestID string `json:"RequestId"`
	Time      string `json:"Time"`
	hookDetail
}

type hookDetail struct {
	Token      string `json:"LifecycleActionToken"`
	Group      string `json:"AutoScalingGroupName"`
	Hook       string `json:"LifecycleHookName"`
	InstanceID string `json:"EC2InstanceId"`
	Transition string `json:"LifecycleTransition"`
}

// ErrNotAnEvent means that a message has the form of nothing that AWS sends.
var ErrNotAnEvent = errors.New("the message is no event")

// Parse reads one message. A Health event is about several instances at times. An event
// of a kind that is not read is Unknown and no error.
func Parse(message []byte) ([]Event, error) {
	return parse(message, true)
}

func parse(message []byte, wrapped bool) ([]Event, error) {
	var e envelope
	if err := unmarshal(message, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAnEvent, err)
	}
	switch {
	case e.Type == "Notification" && e.Message != "" && wrapped:
		return parse([]byte(e.Message), false)
	case e.DetailType != "":
		return parseEvent(e)
	}
	return parseDirect(message)
}

// unmarshal takes one object; encoding/json takes member names in any case, which no event needs.
func unmarshal(message []byte, into any) error {
	if trimmed := bytes.TrimSpace(message); len(trimmed) == 0 || trimmed[0] != '{' {
		return errors.New("it is no JSON object")
	}
	return json.Unmarshal(message, into)
}

func parseEvent(e envelope) ([]Event, error) {
	out := Event{ID: e.ID, Account: e.Account, Region: e.Region, At: parseTime(e.Time)}
	switch e.Source + "/" + e.DetailType {
	case "aws.ec2/EC2 Spot Instance Interruption Warning":
		out.Kind = SpotInterruption
	case "aws.ec2/EC2 Capacity Reservation Instance Interruption Warning":
		out.Kind = CapacityInterruption
	case "aws.ec2/EC2 Instance Rebalance Recommendation":
		out.Kind = Rebalance
	case "aws.ec2/EC2 Instance State-change Notification":
		out.Kind = StateChange
	case "aws.autoscaling/EC2 Instance-terminate Lifecycle Action":
		return parseHook(out, e.Detail)
	case "aws.health/AWS Health Event":
		return parseHealth(out, e.Detail)
	default:
		out.Kind, out.Name = Unknown, e.DetailType
		return []Event{out}, nil
	}
	return parseInstance(out, e.Detail)
}

// parseTime is zero where a text is no time: a notice counts whatever form its time has.
func parseTime(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

func parseInstance(out Event, detail json.RawMessage) ([]Event, error) {
	var d struct {
		InstanceID string `json:"instance-id"`
		Action     string `json:"instance-action"`
		State      string `json:"state"`
		End        string `json:"instance-termination-time"`
	}
	if err := unmarshal(detail, &d); err != nil {
		return nil, fmt.Errorf("%w: its detail: %w", ErrNotAnEvent, err)
	}
	out.InstanceID, out.Action, out.State = d.InstanceID, d.Action, d.State
	switch out.Kind {
	case SpotInterruption, CapacityInterruption:
		out.State = ""
		out.Deadline = parseTime(d.End)
		if !out.At.IsZero() && (out.Deadline.IsZero() || out.Action == "hibernate") {
			out.Deadline = out.lead()
		}
	case StateChange:
		if d.State == "" {
			return nil, fmt.Errorf("%w: it names no state", ErrNotAnEvent)
		}
	}
	return one(out)
}

func parseHook(out Event, detail json.RawMessage) ([]Event, error) {
	var d hookDetail
	if err := unmarshal(detail, &d); err != nil {
		return nil, fmt.Errorf("%w: its detail: %w", ErrNotAnEvent, err)
	}
	return hookEvent(out, d)
}

func parseDirect(message []byte) ([]Event, error) {
	var d direct
	if err := unmarshal(message, &d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotAnEvent, err)
	}
	out := Event{ID: d.RequestID, Account: d.AccountID, At: parseTime(d.Time)}
	switch {
	case d.Event == "autoscaling:TEST_NOTIFICATION":
		out.Kind = Test
		return []Event{out}, nil
	case d.Transition != "":
		return hookEvent(out, d.hookDetail)
	}
	return nil, fmt.Errorf("%w: it has no detail-type", ErrNotAnEvent)
}

func hookEvent(out Event, d hookDetail) ([]Event, error) {
	if d.Transition != "autoscaling:EC2_INSTANCE_TERMINATING" {
		out.Kind, out.Name = Unknown, d.Transition
		return []Event{out}, nil
	}
	if d.Token == "" || d.Group == "" || d.Hook == "" {
		return nil, fmt.Errorf("%w: it does not say which action is to be completed", ErrNotAnEvent)
	}
	out.Kind, out.InstanceID, out.Hook = LifecycleHook, d.InstanceID, &Hook{d.Group, d.Hook, d.Token}
	return one(out)
}

func parseHealth(out Event, detail json.RawMessage) ([]Event, error) {
	var d struct {
		ARN      string `json:"eventArn"`
		Service  string `json:"service"`
		Message  string `json:"communicationId"`
		Region   string `json:"eventRegion"`
		Type     string `json:"eventTypeCode"`
		Category string `json:"eventTypeCategory"`
		Start    string `json:"startTime"`
		Entities []struct {
			Value string `json:"entityValue"`
		} `json:"affectedEntities"`
	}
	if err := unmarshal(detail, &d); err != nil {
		return nil, fmt.Errorf("%w: its detail: %w", ErrNotAnEvent, err)
	}
	if d.Service != "EC2" || d.Category != "scheduledChange" {
		out.Kind, out.Name = Unknown, "health "+d.Service+" "+d.Category
		return []Event{out}, nil
	}
	out.Kind, out.Reason = Health, d.Type
	// A backup copy and every page carry the same communication; the ARN is of the event
	// as such, which can be about many accounts.
	if d.Message != "" {
		out.ID = d.Message
	}
	if d.Region != "" {
		out.Region = d.Region
	}
	if start, err := http.ParseTime(d.Start); err == nil { // RFC 1123
		out.Deadline = start.UTC()
	}
	var all []Event
	for _, entity := range d.Entities {
		if !strings.HasPrefix(entity.Value, "i-") {
			continue // a volume, a reservation
		}
		out.InstanceID = entity.Value
		all = append(all, out)
	}
	if all == nil {
		out.Kind, out.Name = Unknown, "health without instances"
		all = []Event{out}
	}
	return all, nil
}

func one(e Event) ([]Event, error) {
	if !strings.HasPrefix(e.InstanceID, "i-") || len(e.InstanceID) > 32 {
		return nil, fmt.Errorf("%w: it names no instance", ErrNotAnEvent)
	}
	return []Event{e}, nil
}
