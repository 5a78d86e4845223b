package events_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/events"
)

const (
	spot      = `{"version":"0","id":"0b7c","detail-type":"EC2 Spot Instance Interruption Warning","source":"aws.ec2","account":"111122223333","time":"2026-11-28T16:40:07Z","region":"eu-west-1","resources":["arn:aws:ec2:eu-west-1b:instance/i-0aaa1111bbbb2222c"],"detail":{"instance-id":"i-0aaa1111bbbb2222c","instance-action":"terminate"}}`
	rebalance = `{"version":"0","id":"5f0d","detail-type":"EC2 Instance Rebalance Recommendation","source":"aws.ec2","account":"111122223333","time":"2026-11-28T16:21:44Z","region":"eu-west-1","resources":["arn:aws:ec2:eu-west-1b:instance/i-0aaa1111bbbb2222c"],"detail":{"instance-id":"i-0aaa1111bbbb2222c"}}`
	state     = `{"version":"0","id":"c9a5","detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","account":"111122223333","time":"2026-11-28T16:42:11Z","region":"eu-west-1","resources":[],"detail":{"instance-id":"i-0aaa1111bbbb2222c","state":"shutting-down"}}`
	capacity  = `{"version":"0","id":"3e8f","detail-type":"EC2 Capacity Reservation Instance Interruption Warning","source":"aws.ec2","account":"111122223333","time":"2026-11-28T16:40:00Z","region":"eu-west-1","resources":[],"detail":{"instance-id":"i-0ddd3333eeee4444f","instance-action":"terminate","instance-termination-time":"2026-11-28T16:43:00Z","azId":"euw1-az2"}}`
	health    = `{"version":"0","id":"77b1","detail-type":"AWS Health Event","source":"aws.health","account":"111122223333","time":"2026-11-20T06:27:57Z","region":"us-west-2","resources":["i-0ddd3333eeee4444f"],"detail":{"eventArn":"arn:aws:health:eu-west-1::event/EC2/X/X_1","service":"EC2","communicationId":"comm-1","eventRegion":"eu-west-1","eventTypeCode":"AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED","eventTypeCategory":"scheduledChange","startTime":"Sat, 05 Dec 2026 15:00:00 GMT","affectedEntities":[{"entityValue":"i-0ddd3333eeee4444f"},{"entityValue":"vol-1"},{"entityValue":"i-0eee"}],"page":"1","totalPages":"1"}}`
	hook      = `{"version":"0","id":"9d2e","detail-type":"EC2 Instance-terminate Lifecycle Action","source":"aws.autoscaling","account":"111122223333","time":"2026-11-28T16:30:58Z","region":"eu-west-1","resources":[],"detail":{"LifecycleActionToken":"t-1","AutoScalingGroupName":"web","LifecycleHookName":"spotkeeper","EC2InstanceId":"i-0eee5555ffff6666a","LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING"}}`
	direct    = `{"LifecycleHookName":"spotkeeper","AccountId":"111122223333","RequestId":"r-1","LifecycleTransition":"autoscaling:EC2_INSTANCE_TERMINATING","AutoScalingGroupName":"web","Service":"AWS Auto Scaling","Time":"2026-11-28T16:30:58.123Z","EC2InstanceId":"i-0eee5555ffff6666a","LifecycleActionToken":"t-1"}`
	test      = `{"Event":"autoscaling:TEST_NOTIFICATION","RequestId":"r-2","AutoScalingGroupName":"web","Time":"2026-11-28T16:00:00Z"}`
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		panic(err)
	}
	return t
}

func sns(message string) string {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err)
	}
	return `{"Type":"Notification","MessageId":"m-1","TopicArn":"arn:aws:sns:eu-west-1:111122223333:t","Message":` +
		string(text) + `}`
}

func TestParse(t *testing.T) {
	t.Parallel()
	base := events.Event{Account: "111122223333", Region: "eu-west-1", InstanceID: "i-0aaa1111bbbb2222c"}
	change := func(do func(*events.Event)) []events.Event {
		e := base
		do(&e)
		return []events.Event{e}
	}
	interrupted := change(func(e *events.Event) {
		e.ID, e.Kind, e.Action, e.At, e.Deadline = "0b7c", events.SpotInterruption, "terminate", at(
			"2026-11-28T16:40:07Z"), at("2026-11-28T16:42:07Z")
	})
	hooked := change(func(e *events.Event) {
		e.ID, e.Kind, e.InstanceID, e.At, e.Hook = "9d2e", events.LifecycleHook, "i-0eee5555ffff6666a", at(
			"2026-11-28T16:30:58Z"), &events.Hook{Group: "web", Name: "spotkeeper", Token: "t-1"}
	})
	unwrapped := change(func(e *events.Event) {
		e.ID, e.Kind, e.InstanceID, e.At, e.Region = "r-1", events.LifecycleHook, "i-0eee5555ffff6666a", at(
			"2026-11-28T16:30:58.123Z"), ""
		e.Hook = &events.Hook{Group: "web", Name: "spotkeeper", Token: "t-1"}
	})
	first := events.Event{
		ID:         "comm-1",
		Kind:       events.Health,
		Account:    "111122223333",
		Region:     "eu-west-1",
		InstanceID: "i-0ddd3333eeee4444f",
		At:         at("2026-11-20T06:27:57Z"),
		Deadline:   at("2026-12-05T15:00:00Z"),
		Reason:     "AWS_EC2_INSTANCE_RETIREMENT_SCHEDULED",
	}
	second := first
	second.InstanceID = "i-0eee"
	for name, c := range map[string]struct {
		message string
		want    []events.Event
	}{
		"spot": {spot, interrupted},
		"stop": {strings.Replace(spot, "terminate", "stop", 1),
			change(func(e *events.Event) { *e = interrupted[0]; e.Action = "stop" })},
		"hibernate, which begins at once": {strings.Replace(spot, "terminate", "hibernate", 1),
			change(func(e *events.Event) {
				*e = interrupted[0]
				e.Action, e.Deadline = "hibernate", e.At
			})},
		"rebalance": {rebalance,
			change(func(e *events.Event) {
				e.ID, e.Kind, e.At = "5f0d", events.Rebalance, at(
					"2026-11-28T16:21:44Z")
			})},
		"state": {state, change(func(e *events.Event) {
			e.ID, e.Kind, e.At, e.State = "c9a5", events.StateChange, at("2026-11-28T16:42:11Z"), "shutting-down"
		})},
		"capacity": {capacity, change(func(e *events.Event) {
			e.ID, e.Kind, e.InstanceID, e.Action = "3e8f", events.CapacityInterruption, "i-0ddd3333eeee4444f", "terminate"
			e.At, e.Deadline = at("2026-11-28T16:40:00Z"), at("2026-11-28T16:43:00Z")
		})},
		"health, where it happens": {health, []events.Event{first, second}},
		"hook":                     {hook, hooked},
		"hook straight to SQS":     {direct, unwrapped},
		"hook by SNS":              {sns(direct), unwrapped},
		"event by SNS":             {sns(spot), interrupted},
		"test": {test, []events.Event{{
			ID:   "r-2",
			Kind: events.Test,
			At:   at("2026-11-28T16:00:00Z"),
		}}},
		"another kind": {strings.Replace(spot, "EC2 Spot Instance Interruption Warning", "EC2 Fleet Error", 1),
			[]events.Event{{
				ID:      "0b7c",
				Kind:    events.Unknown,
				Account: "111122223333",
				Region:  "eu-west-1",
				At:      at("2026-11-28T16:40:07Z"),
				Name:    "EC2 Fleet Error",
			}}},
		"another service's": {strings.Replace(health, `"service":"EC2"`, `"service":"RDS"`, 1),
			[]events.Event{{
				ID:      "77b1",
				Kind:    events.Unknown,
				Account: "111122223333",
				Region:  "us-west-2",
				At:      at("2026-11-20T06:27:57Z"),
				Name:    "health RDS scheduledChange",
			}}},
		"a hook at launch": {strings.Replace(direct, "TERMINATING", "LAUNCHING", 1),
			[]events.Event{{
				ID:      "r-1",
				Kind:    events.Unknown,
				Account: "111122223333",
				At:      at("2026-11-28T16:30:58.123Z"),
				Name:    "autoscaling:EC2_INSTANCE_LAUNCHING",
			}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := events.Parse([]byte(c.message))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

// TestTimesThatCannotBeRead: an event about an instance counts whatever form its times have.
// It then has the time of its arrival.
func TestTimesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	arrived := at("2026-11-28T16:50:00Z")
	for name, c := range map[string]struct {
		message string
		at      string
		ends    string
	}{
		"none":            {strings.Replace(spot, "2026-11-28T16:40:07Z", "", 1), "2026-11-28T16:50:00Z", "2026-11-28T16:52:00Z"},
		"another form":    {strings.Replace(spot, "2026-11-28T16:40:07Z", "Sat 28 Nov", 1), "2026-11-28T16:50:00Z", "2026-11-28T16:52:00Z"},
		"of a stop":       {strings.Replace(strings.Replace(spot, "2026-11-28T16:40:07Z", "", 1), "terminate", "hibernate", 1), "2026-11-28T16:50:00Z", "2026-11-28T16:50:00Z"},
		"of the end":      {strings.Replace(capacity, "2026-11-28T16:43:00Z", "soon", 1), "2026-11-28T16:40:00Z", "2026-11-28T16:42:00Z"},
		"of a hook":       {strings.Replace(direct, "2026-11-28T16:30:58.123Z", "now", 1), "2026-11-28T16:50:00Z", ""},
		"of a retirement": {strings.Replace(health, "Sat, 05 Dec 2026 15:00:00 GMT", "2026-12-05", 1), "2026-11-20T06:27:57Z", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := events.Parse([]byte(c.message))
			require.NoError(t, err)
			got[0].Arrived(arrived)
			require.Equal(t, at(c.at), got[0].At)
			if c.ends == "" {
				require.True(t, got[0].Deadline.IsZero())
			} else {
				require.Equal(t, at(c.ends), got[0].Deadline)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, message := range map[string]string{
		"nothing":       "",
		"text":          "hello",
		"a list":        "[" + spot + "]",
		"null":          "null",
		"half":          spot[:200],
		"empty":         "{}",
		"no detail":     `{"detail-type":"EC2 Instance Rebalance Recommendation","source":"aws.ec2","time":"2026-11-28T16:21:44Z"}`,
		"no instance":   strings.Replace(rebalance, `"instance-id":"i-0aaa1111bbbb2222c"`, `"instance-id":""`, 1),
		"no state":      strings.Replace(state, `,"state":"shutting-down"`, "", 1),
		"no token":      strings.Replace(direct, `"t-1"`, `""`, 1),
		"wrapped twice": sns(sns(spot)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := events.Parse([]byte(message))
			require.ErrorIs(t, err, events.ErrNotAnEvent)
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{spot, rebalance, state, capacity, health, hook, direct, test, sns(direct), "", "{}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := events.Parse(message)
		if err != nil {
			require.ErrorIs(t, err, events.ErrNotAnEvent)
			require.Empty(t, got)
			return
		}
		require.NotEmpty(t, got)
		for _, e := range got {
			acts := e.Kind != events.Unknown && e.Kind != events.Test
			require.Equal(t, acts, strings.HasPrefix(e.InstanceID, "i-"))
			e.Arrived(at("2026-11-28T16:42:11Z"))
			require.False(t, e.At.IsZero())
			if e.Kind == events.SpotInterruption {
				require.False(t, e.Deadline.IsZero())
			}
		}
	})
}
