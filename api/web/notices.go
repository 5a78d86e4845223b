package web

import "spotkeeper/internal/postgres/views"

// NoticeAnswer has the members that every answer to a notice shares. Embed it beside an
// answer's own members.
type NoticeAnswer struct {
	Kind        string     `json:"kind" enum:"rebalance-recommendation termination-notice"`
	Door        string     `json:"door" enum:"http eventbridge describe sweep" doc:"how it arrived first"`
	Action      string     `json:"action" enum:"terminate stop hibernate unknown" doc:"what AWS does with the instance of a termination notice"`
	Arrivals    int        `json:"arrivals" doc:"how often it arrived"`
	ArrivedAt   ExactTime  `json:"arrived_at"`
	ReceivedAt  ExactTime  `json:"received_at" doc:"when it was durable"`
	DeliveredAt *ExactTime `json:"delivered_at" doc:"when it was judged"`
	DecidedAt   *ExactTime `json:"decided_at"`
	DecidedMs   *int64     `json:"decided_ms" doc:"milliseconds from its arrival to the decision"`
	Deadline    ExactTime  `json:"deadline"`
	Result      string     `json:"result" enum:"open promoted stood_down not_primary lost"`
	NewPrimary  *string    `json:"new_primary"`
}

// NewNoticeAnswer describes a notice.
func NewNoticeAnswer(x views.NoticeView) NoticeAnswer {
	return NoticeAnswer{
		Kind:        x.Kind,
		Door:        x.Door,
		Action:      ChooseWord(x.Action == "", "unknown", x.Action),
		Arrivals:    x.Arrivals,
		ArrivedAt:   ExactTime{Time: x.ArrivedAt},
		ReceivedAt:  ExactTime{Time: x.ReceivedAt},
		DeliveredAt: NewExactTime(x.DeliveredAt),
		DecidedAt:   NewExactTime(x.DecidedAt),
		DecidedMs:   MillisecondsBetween(x.ArrivedAt, x.DecidedAt),
		Deadline:    ExactTime{Time: x.Deadline},
		Result:      ChooseWord(x.Result == "", "open", x.Result),
		NewPrimary:  x.NewPrimary,
	}
}
