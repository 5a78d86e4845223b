package approval_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/approval"
	"spotkeeper/internal/domain/fault"
)

var now = time.Date(2026, 8, 12, 10, 0, 0, 0, time.UTC) // a Wednesday

var move = approval.Move{Kind: approval.ToSpot, InstanceID: "i-1", Mode: agent.Spot, PoolID: "t3.medium.us-east-1a"}

func TestVerdictsFollowRulesAndAnswers(t *testing.T) {
	t.Parallel()

	question := func(state approval.State, change func(*approval.Approval)) []approval.Approval {
		a := approval.Approval{
			ID: "q1", Kind: move.Kind, State: state, InstanceID: move.InstanceID, Mode: move.Mode, PoolID: move.PoolID,
			ExpiresAt: now.Add(time.Hour), AnsweredBy: "ann",
		}
		if state == approval.Approved || state == approval.IsRejected {
			a.AnsweredAt = now.Add(-time.Minute)
		}
		if change != nil {
			change(&a)
		}
		return []approval.Approval{a}
	}
	closed := []approval.Window{{Cron: "0 2 * * *", Minutes: 60}}
	for _, c := range []struct {
		name      string
		policy    approval.Policy
		windows   []approval.Window
		questions []approval.Approval
		refused   fault.Code
		asks      bool
		uses      bool
	}{
		{name: "rules that say nothing allow it"},
		{name: "auto waits for a window", policy: approval.Auto, windows: closed, refused: approval.OutsideWindow},
		{name: "never", policy: approval.Never, refused: approval.NotAllowed},
		{name: "a first question", policy: approval.Ask, asks: true},
		{name: "a first question outside of a window is asked at once", policy: approval.Ask, windows: closed, asks: true},
		{name: "pending", policy: approval.Ask, questions: question(approval.Pending, nil), refused: approval.Awaiting},
		{name: "approved", policy: approval.Ask, questions: question(approval.Approved, nil), uses: true},
		{
			name: "approved waits for a window", policy: approval.Ask, windows: closed,
			questions: question(approval.Approved, nil), refused: approval.OutsideWindow,
		},
		{
			name: "another place was approved", policy: approval.Ask, refused: approval.Awaiting,
			questions: question(approval.Approved, func(a *approval.Approval) { a.PoolID = "t3.medium.us-east-1b" }),
		},
		{
			name: "approved for an instance that was replaced", policy: approval.Ask, asks: true,
			questions: question(approval.Approved, func(a *approval.Approval) { a.InstanceID = "i-0" }),
		},
		{
			name: "approved and not carried out in time", policy: approval.Ask, asks: true,
			questions: question(approval.Approved, func(a *approval.Approval) { a.ExpiresAt = now }),
		},
		{name: "rejected", policy: approval.Ask, questions: question(approval.IsRejected, nil), refused: approval.Rejected},
		{
			name: "rejected a day ago", policy: approval.Ask, asks: true,
			questions: question(approval.IsRejected, func(a *approval.Approval) { a.AnsweredAt = now.Add(-24 * time.Hour) }),
		},
		{
			name: "another place was rejected", policy: approval.Ask, asks: true,
			questions: question(approval.IsRejected, func(a *approval.Approval) { a.PoolID = "t3.medium.us-east-1b" }),
		},
		{
			name: "not answered in time", policy: approval.Ask, refused: approval.Rejected,
			questions: question(approval.Pending, func(a *approval.Approval) { a.ExpiresAt = now }),
		},
		{
			name: "not answered a day ago", policy: approval.Ask, asks: true,
			questions: question(approval.IsLapsed, func(a *approval.Approval) { a.ExpiresAt = now.Add(-24 * time.Hour) }),
		},
		{name: "used", policy: approval.Ask, asks: true, questions: question(approval.Used, func(a *approval.Approval) {
			a.AnsweredAt = now.Add(-time.Minute)
		})},
		{
			name: "a question from before the policy was auto", policy: approval.Auto,
			questions: question(approval.Pending, nil),
		},
	} {
		consent := &approval.Consent{Rules: approval.Rules{
			Policies: map[approval.Kind]approval.Policy{move.Kind: c.policy}, Windows: c.windows,
		}, Approvals: c.questions}
		got := consent.Judge(now, move)
		require.Equal(t, c.refused, fault.CodeOf(got.Refusal), c.name)
		require.Equal(t, c.asks, got.Ask, c.name)
		require.Equal(t, c.uses, got.Use != nil, c.name)
	}
	var none *approval.Consent
	require.Equal(t, approval.Verdict{}, none.Judge(now, move), "a client without rules")
	require.Empty(t, none.Sentences(now, "i-1"))
}

func TestAMaintenanceMoveIsApprovedWhateverItsPlace(t *testing.T) {
	t.Parallel()

	a := approval.Approval{Kind: approval.Maintenance, InstanceID: "i-1", Mode: agent.Spot, PoolID: "t3.medium.us-east-1a"}
	require.True(t, a.Covers(approval.Move{Kind: approval.Maintenance, InstanceID: "i-1", Mode: agent.OnDemand}))
	require.False(t, a.Covers(approval.Move{Kind: approval.Maintenance, InstanceID: "i-2", Mode: agent.OnDemand}))
}

func TestWindowsFollowTheirZone(t *testing.T) {
	t.Parallel()

	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	night := approval.Rules{Windows: []approval.Window{{Cron: "30 2 * * *", Zone: "Europe/Berlin", Minutes: 60}}}
	at := func(month time.Month, day, hour, minute int) time.Time {
		return time.Date(2026, month, day, hour, minute, 0, 0, berlin)
	}
	for _, c := range []struct {
		name string
		at   time.Time
		open bool
	}{
		{"before", at(8, 12, 2, 29), false},
		{"its first minute", at(8, 12, 2, 30), true},
		{"its last minute", at(8, 12, 3, 29), true},
		{"its end", at(8, 12, 3, 30), false},
		{"the same in UTC", time.Date(2026, 8, 12, 0, 45, 0, 0, time.UTC), true},
		{"winter", time.Date(2026, 12, 12, 1, 45, 0, 0, time.UTC), true},
		// Clocks go from 2:00 to 3:00 on the 29th of March 2026: there is no 2:30.
		{"the hour that is left out", time.Date(2026, 3, 29, 1, 15, 0, 0, time.UTC), false},
		{"the day after", at(3, 30, 2, 30), true},
		// 2:30 comes twice on the 25th of October 2026.
		{"the hour that comes twice", time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC), true},
	} {
		open, next := night.IsOpen(c.at)
		require.Equal(t, c.open, open, c.name)
		require.Equal(t, c.open, next.IsZero(), c.name)
	}
	_, next := night.IsOpen(at(8, 12, 4, 0))
	require.True(t, next.Equal(at(8, 13, 2, 30)))

	long := approval.Rules{Windows: []approval.Window{
		{Cron: "0 22 * * 5", Minutes: 60 * 48}, // the weekend
		{Cron: "0 3 * * *", Minutes: 15},
	}}
	open, _ := long.IsOpen(time.Date(2026, 8, 16, 21, 59, 0, 0, time.UTC))
	require.True(t, open, "a window longer than a day")
	open, next = long.IsOpen(now)
	require.False(t, open)
	require.True(t, next.Equal(time.Date(2026, 8, 13, 3, 0, 0, 0, time.UTC)), "the nearest window")
}

func TestAnApprovalLastsUntilTheNextWindowIsOver(t *testing.T) {
	t.Parallel()

	require.True(t, approval.Rules{AnswerMinutes: 30}.ValidUntil(now).Equal(now.Add(30*time.Minute)))
	weekend := approval.Rules{AnswerMinutes: 30, Windows: []approval.Window{{Cron: "0 2 * * 6", Minutes: 120}}}
	require.True(t, weekend.ValidUntil(now).Equal(time.Date(2026, 8, 15, 4, 0, 0, 0, time.UTC)))
	require.True(t, weekend.ValidUntil(time.Date(2026, 8, 15, 3, 50, 0, 0, time.UTC)).
		Equal(time.Date(2026, 8, 15, 4, 20, 0, 0, time.UTC)), "while a window is open, as without windows")
}

func TestRulesThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()

	rules := func(change func(*approval.Rules)) approval.Rules {
		r := approval.Rules{AnswerMinutes: approval.DefaultAnswer}
		change(&r)
		return r
	}
	window := func(cron, zone string, minutes int) approval.Rules {
		return rules(func(r *approval.Rules) { r.Windows = []approval.Window{{Cron: cron, Zone: zone, Minutes: minutes}} })
	}
	for name, r := range map[string]approval.Rules{
		"an unknown kind":   rules(func(r *approval.Rules) { r.Policies = map[approval.Kind]approval.Policy{"failover": "ask"} }),
		"an unknown policy": rules(func(r *approval.Rules) { r.Policies = map[approval.Kind]approval.Policy{"to_spot": "maybe"} }),
		"a short answer":    rules(func(r *approval.Rules) { r.AnswerMinutes = 14 }),
		"a long answer":     rules(func(r *approval.Rules) { r.AnswerMinutes = 10081 }),
		"too many windows":  rules(func(r *approval.Rules) { r.Windows = make([]approval.Window, 21) }),
		"a short window":    window("0 2 * * *", "", 14),
		"a long window":     window("0 2 * * *", "", 10081),
		"seconds":           window("0 0 2 * * *", "", 60),
		"a word":            window("@daily", "", 60),
		"no expression":     window("", "", 60),
		"a zone in it":      window("CRON_TZ=Asia/Tokyo 0 2 * * *", "", 60),
		"TZ in it":          window("TZ=UTC 0 2 * * *", "", 60),
		"a day of no month": window("0 2 31 2 *", "", 60),
		"an unknown zone":   window("0 2 * * *", "Europe/Nowhere", 60),
		"the machine's":     window("0 2 * * *", "Local", 60),
		"a path":            window("0 2 * * *", "../../etc/passwd", 60),
		"a negative step":   window("*/-5 * * * *", "", 60),
		"a zero step":       window("*/0 * * * *", "", 60),
	} {
		require.Equal(t, approval.BadRules, fault.CodeOf(r.Validate(now)), name)
	}
	for _, zone := range []string{"", "UTC", "Europe/Berlin", "Asia/Kolkata"} {
		require.NoError(t, window("30 22 * * MON-FRI", zone, 15).Validate(now), zone)
	}
	require.NoError(t, rules(func(r *approval.Rules) {
		r.Policies = map[approval.Kind]approval.Policy{"to_ondemand": "never", "maintenance": "ask"}
	}).Validate(now))
}

func TestALinkAnswersOneQuestionOfOneWebhook(t *testing.T) {
	t.Parallel()

	old, fresh := make([]byte, 32), []byte("01234567890123456789012345678901")
	links := approval.Links{Base: "https://spotkeeper.example/", Keys: [][]byte{old}}
	require.Regexp(t, `^https://spotkeeper\.example/answer/q1\?sink=s1&token=[\w-]{43}$`, links.URL("q1", "s1"))
	token := links.URL("q1", "s1")[len("https://spotkeeper.example/answer/q1?sink=s1&token="):]

	require.NoError(t, links.Check("q1", "s1", token))
	require.NoError(t, approval.Links{Keys: [][]byte{fresh, old}}.Check("q1", "s1", token), "keys are replaced without a pause")
	for name, err := range map[string]error{
		"another question": links.Check("q2", "s1", token),
		"another webhook":  links.Check("q1", "s2", token),
		"no token":         links.Check("q1", "s1", ""),
		"another key":      approval.Links{Keys: [][]byte{fresh}}.Check("q1", "s1", token),
		"no key":           approval.Links{}.Check("q1", "s1", token),
	} {
		require.Equal(t, approval.BadLink, fault.CodeOf(err), name)
	}
	require.Empty(t, approval.Links{Keys: [][]byte{old}}.URL("q1", "s1"), "without an address there is no link")
	require.Empty(t, approval.Links{Base: "https://x.example"}.URL("q1", "s1"))
}
