package pages

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type eventChoice struct {
	ClientID string     `json:"-" form:"client_id" binding:"max=64"`
	AgentID  string     `json:"-" form:"agent_id" binding:"max=64"`
	Type     string     `json:"-" form:"type" binding:"max=64" doc:"as moves_paused"`
	Text     string     `json:"-" form:"q" binding:"max=100" doc:"a part of the message or of who asked"`
	By       string     `json:"-" form:"by" binding:"omitempty,oneof=people all" doc:"people: only what operators and tenants asked for; all by default"`
	Since    web.Moment `json:"-" form:"since" doc:"RFC 3339, or a day in UTC: what happened before it is left out"`
	Until    web.Moment `json:"-" form:"until" doc:"RFC 3339, or a day in UTC: what happened from it on is left out"`
	Before   *int       `json:"-" form:"before" binding:"omitempty,min=1" doc:"the next of the page before"`
}

func (x eventChoice) filter(ctx context.Context) views.EventFilter {
	return views.EventFilter{
		ClientID: ownClient(ctx, x.ClientID),
		AgentID:  x.AgentID,
		Type:     x.Type,
		Text:     x.Text,
		People:   x.By == "people",
		Since:    x.Since.Time,
		Until:    x.Until.Time,
		Before:   int64(web.ValueOr(x.Before, 0)),
	}
}

type listEventsRequest struct {
	eventChoice
	Limit *int `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"50 by default"`
}

type eventList struct {
	Events []loggedEvent `json:"events"`
	Next   *string       `json:"next" doc:"null on the last page"`
}

type loggedEvent struct {
	ID         int64           `json:"id"`
	At         web.ExactTime   `json:"at"`
	Type       string          `json:"type" example:"moves_paused"`
	Severity   string          `json:"severity" enum:"info warning error critical"`
	Actor      string          `json:"actor" doc:"who asked: operator:<name>, client:<name>, agent or system" example:"operator:ops"`
	Message    string          `json:"message"`
	ClientID   *string         `json:"client_id"`
	ClientName *string         `json:"client_name"`
	AgentID    *string         `json:"agent_id"`
	AgentName  *string         `json:"agent_name"`
	Metadata   json.RawMessage `json:"metadata" doc:"for a change: before and after"`
}

func (c *Console) events(ctx context.Context, in *listEventsRequest) (*eventList, error) {
	limit := web.ValueOr(in.Limit, 50)
	filter := in.filter(ctx)
	filter.Limit = limit + 1
	found, err := c.Views.EventLog(ctx, filter)
	out := &eventList{}
	if err == nil && len(found) > limit {
		found = found[:limit]
		next := strconv.FormatInt(found[limit-1].ID, 10)
		out.Next = &next
	}
	list, err := web.MapRows(found, err, func(x views.EventView) loggedEvent {
		return loggedEvent{
			ID:         x.ID,
			At:         web.ExactTime{Time: x.At},
			Type:       x.Type,
			Severity:   x.Severity,
			Actor:      x.Actor,
			Message:    x.Message,
			ClientID:   x.ClientID,
			ClientName: x.ClientName,
			AgentID:    x.AgentID,
			AgentName:  x.AgentName,
			Metadata:   x.Metadata,
		}
	})
	if err != nil {
		return nil, err
	}
	out.Events = *list
	return out, nil
}

type searchRequest struct {
	Text  string `json:"-" form:"q" binding:"required,max=100" doc:"a part of a name, or the beginning of an id"`
	Limit *int   `json:"-" form:"limit" binding:"omitempty,min=1,max=50" doc:"12 by default"`
}

type searchAnswer struct {
	Results []searchResult `json:"results" doc:"agents first, then instances, operations and clients"`
}

type searchResult struct {
	Kind string `json:"kind" enum:"agent instance operation client"`
	ID   string `json:"id"`
	Name string `json:"name"`
	Note string `json:"note" doc:"what it is now"`
}

func (c *Console) search(ctx context.Context, in *searchRequest) (*searchAnswer, error) {
	found, err := c.Views.Search(ctx, web.TenantScope(ctx), strings.TrimSpace(in.Text), web.ValueOr(in.Limit, 12))
	list, err := web.MapRows(found, err, func(x views.FoundView) searchResult { return searchResult(x) })
	if err != nil {
		return nil, err
	}
	return &searchAnswer{Results: *list}, nil
}

type savingsByMonthRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64"`
	Months   *int   `json:"-" form:"months" binding:"omitempty,min=1,max=120" doc:"12 by default, this month included"`
}

type savingsList struct {
	Months []clientMonth `json:"months" doc:"newest first, then by the client's name"`
}

type clientMonth struct {
	ClientID    string        `json:"client_id"`
	ClientName  string        `json:"client_name"`
	Month       string        `json:"month" doc:"YYYY-MM" example:"2026-11"`
	Baseline    float64       `json:"on_demand_cost" doc:"USD; what the primaries' hours cost at on-demand prices"`
	Actual      float64       `json:"actual_cost" doc:"USD; everything that ran"`
	Savings     float64       `json:"savings" doc:"USD; negative when it was dearer"`
	Standbys    float64       `json:"standby_cost" doc:"USD of actual_cost for standbys and for two instances during moves"`
	Hours       float64       `json:"primary_hours"`
	Unpriced    float64       `json:"unpriced_hours" doc:"hours that count on neither side, because no price is known"`
	Provisional bool          `json:"provisional" doc:"the month is not over"`
	ComputedAt  web.ExactTime `json:"computed_at"`
}

func (c *Console) savings(ctx context.Context, in *savingsByMonthRequest) (*savingsList, error) {
	found, err := c.Views.SavingsOf(ctx, ownClient(ctx, in.ClientID), web.ValueOr(in.Months, 12))
	list, err := web.MapRows(found, err, newClientMonth)
	if err != nil {
		return nil, err
	}
	return &savingsList{Months: *list}, nil
}

func newClientMonth(x views.SavingsView) clientMonth {
	return clientMonth{
		ClientID:    x.ClientID,
		ClientName:  x.ClientName,
		Month:       x.Month,
		Baseline:    x.Baseline,
		Actual:      x.Actual,
		Savings:     x.Savings,
		Standbys:    x.Standbys,
		Hours:       x.Hours,
		Unpriced:    x.Unpriced,
		Provisional: x.Provisional,
		ComputedAt:  web.ExactTime{Time: x.ComputedAt},
	}
}

type allEventsRequest struct {
	LastID string `json:"-" header:"Last-Event-ID" doc:"the id of the last event seen: what happened since is sent first"`
	After  string `json:"-" form:"after" doc:"the same, for callers that cannot set the header"`
}

// followAll is the stream of every client's events, for operators.
func (c *Console) followAll(g *gin.Context, in *allEventsRequest) error {
	return c.Events.follow(g, &eventsRequest{LastID: in.LastID, After: in.After})
}
