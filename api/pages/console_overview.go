package pages

import (
	"context"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

type callerAnswer struct {
	Name     string  `json:"name" doc:"of the operator or the client" example:"ops"`
	Operator bool    `json:"operator" doc:"an operator sees all clients"`
	Role     *string `json:"role" doc:"of an operator: viewer, operator or admin"`
	Scope    *string `json:"scope" doc:"of a tenant's token: read, operate or admin; null for its old token, which may do all"`
	ClientID *string `json:"client_id" doc:"the client that a tenant is; null for an operator"`
	Open     bool    `json:"open" doc:"no login is needed here, because no operators are configured"`
	Session  bool    `json:"session" doc:"the caller is a browser that logged in, and can log out"`
	// Pages leave out what is not among these.
	May []string `json:"may" doc:"the operationIds of the changes, and of the reads of secrets, that the caller may ask for"`
}

func (c *Console) session(g *gin.Context, _ *web.None) error {
	p := web.PrincipalFrom(g.Request.Context())
	web.WriteJSON(g, http.StatusOK, &callerAnswer{
		Name:     p.Name,
		Operator: p.Operator,
		ClientID: web.NilIfEmpty(p.ClientID),
		Open:     c.About.Open,
		Session:  p.Session,
		Role:     web.NilIfEmpty(string(p.Role)),
		Scope:    web.NilIfEmpty(string(p.Allowed)),
		May:      web.MayCall(g),
	})
	return nil
}

type versionAnswer struct {
	Version     string   `json:"version" doc:"of the program, or the commit that it was built from" example:"v1.4.0"`
	Commit      string   `json:"commit"`
	Go          string   `json:"go" example:"go1.26.0"`
	StartedAt   web.Time `json:"started_at"`
	TemporalUI  *string  `json:"temporal_ui_url" doc:"address of the Temporal UI; null when TEMPORAL_UI_URL is not set"`
	Namespace   string   `json:"temporal_namespace" example:"default"`
	ConsolePath string   `json:"console_path" example:"/console/"`
}

func (c *Console) version(context.Context, *web.None) (*versionAnswer, error) {
	out := &versionAnswer{
		Version: "devel", Go: runtime.Version(), StartedAt: web.Time{Time: c.About.Started},
		TemporalUI: web.NilIfEmpty(c.About.TemporalUI), Namespace: c.About.Namespace, ConsolePath: c.About.ConsolePath,
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v := info.Main.Version; v != "" && v != "(devel)" {
			out.Version = v
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				out.Commit = s.Value
			}
		}
	}
	return out, nil
}

type overviewRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"only this client; a tenant reads its own"`
}

type overviewAnswer struct {
	At            web.ExactTime       `json:"at"`
	Agents        agentCounts         `json:"agents"`
	Instances     int64               `json:"instances" doc:"that run or start for an agent"`
	Standbys      int64               `json:"standbys" doc:"instances that are held ready beside the primaries"`
	Operations    int64               `json:"operations_running"`
	Failed        int64               `json:"operations_failed_last_day"`
	Undelivered   int64               `json:"notices_undelivered" doc:"notices that no Guardian has judged yet"`
	OldestSeconds float64             `json:"oldest_undelivered_seconds"`
	Cost          costNow             `json:"cost"`
	Interruptions []poolInterruptions `json:"interruptions_last_day" doc:"by pool, most first"`
}

type agentCounts struct {
	Total          int64 `json:"total"`
	Online         int64 `json:"online"`
	Offline        int64 `json:"offline" doc:"enabled agents that are silent"`
	Disabled       int64 `json:"disabled"`
	WithoutPrimary int64 `json:"without_primary" doc:"enabled agents that have no primary"`
	WithoutStandby int64 `json:"without_standby" doc:"agents in manual mode whose standby is not ready"`
}

type costNow struct {
	Hourly        float64 `json:"hourly" doc:"USD per hour of everything that runs" example:"1.84"`
	OnDemand      float64 `json:"on_demand_hourly" doc:"USD per hour of the primaries at on-demand prices" example:"5.2"`
	StandbyHourly float64 `json:"standby_hourly" doc:"USD per hour of hourly that is not the primaries'"`
	Unpriced      int64   `json:"unpriced" doc:"instances whose price is not known; they count on neither side"`
}

type poolInterruptions struct {
	PoolID       string `json:"pool_id" example:"m5.large.us-east-1a"`
	Terminations int64  `json:"terminations"`
	Rebalances   int64  `json:"rebalances"`
}

func (c *Console) overview(ctx context.Context, in *overviewRequest) (*overviewAnswer, error) {
	client := ownClient(ctx, in.ClientID)
	o, err := c.Views.Overview(ctx, client)
	if err != nil {
		return nil, err
	}
	told, err := c.Views.InterruptionsLastDay(ctx, client)
	pools, err := web.MapRows(told,
		err, func(x views.PoolInterruptions) poolInterruptions { return poolInterruptions(x) })
	if err != nil {
		return nil, err
	}
	return &overviewAnswer{
		At: web.ExactTime{Time: c.Now()},
		Agents: agentCounts{
			Total: o.Agents, Online: o.Online, Offline: o.Offline, Disabled: o.Disabled,
			WithoutPrimary: o.WithoutPrimary, WithoutStandby: o.WithoutStandby,
		},
		Instances: o.Instances, Standbys: o.Standbys, Operations: o.Operations, Failed: o.Failed,
		Undelivered: o.Undelivered, OldestSeconds: o.OldestUndecided,
		Cost: costNow{
			Hourly:        o.Hourly,
			OnDemand:      o.OnDemandHourly,
			StandbyHourly: o.StandbyHourly,
			Unpriced:      o.Unpriced,
		},
		Interruptions: *pools,
	}, nil
}

type listNoticesRequest struct {
	ClientID string     `json:"-" form:"client_id" binding:"max=64"`
	AgentID  string     `json:"-" form:"agent_id" binding:"max=64"`
	Door     string     `json:"-" form:"door" binding:"omitempty,oneof=http eventbridge describe sweep" doc:"how it arrived"`
	Kind     string     `json:"-" form:"kind" binding:"omitempty,oneof=rebalance-recommendation termination-notice"`
	State    string     `json:"-" form:"state" binding:"omitempty,oneof=open all" doc:"open: only notices that stand; all by default"`
	Limit    *int       `json:"-" form:"limit" binding:"omitempty,min=1,max=500" doc:"50 by default"`
	After    web.Cursor `json:"-" form:"after" doc:"the next of the page before"`
}

type noticeList struct {
	Notices []noticeItem `json:"notices"`
	Next    *string      `json:"next" doc:"null on the last page"`
}

type noticeItem struct {
	web.NoticeAnswer
	ClientID       string  `json:"client_id"`
	ClientName     string  `json:"client_name"`
	AgentID        string  `json:"agent_id"`
	AgentName      string  `json:"agent_name" doc:"the agent's logical id"`
	InstanceID     string  `json:"instance_id" example:"i-0123456789abcdef0"`
	PoolID         string  `json:"pool_id"`
	OperationID    *string `json:"operation_id" doc:"the operation that follows a termination notice"`
	OperationState *string `json:"operation_state" enum:"running succeeded failed cancelled"`
	Phase          *string `json:"phase"`
	Open           bool    `json:"open" doc:"whether it stands"`
}

func noticeOf(x views.NoticeView) noticeItem {
	return noticeItem{
		ClientID:       x.ClientID,
		ClientName:     x.ClientName,
		AgentID:        x.AgentID,
		AgentName:      x.LogicalAgentID,
		InstanceID:     x.InstanceID,
		PoolID:         x.PoolID,
		NoticeAnswer:   web.NewNoticeAnswer(x),
		OperationID:    x.OperationID,
		OperationState: x.OperationState,
		Phase:          x.Phase,
		Open:           x.Open,
	}
}

func (c *Console) notices(ctx context.Context, in *listNoticesRequest) (*noticeList, error) {
	turning := web.Paging{After: in.After}
	found, err := c.Views.Notices(ctx, views.NoticeFilter{
		ClientID: ownClient(ctx, in.ClientID),
		AgentID:  in.AgentID,
		Door:     in.Door,
		Kind:     in.Kind,
		Open:     in.State == "open",
		Page:     turning.PageOf(web.ValueOr(in.Limit, 50)),
	})
	found, err = web.FinishPage(&turning, found, err, func(x views.NoticeView) pg.Cursor {
		return pg.Cursor{At: x.ReceivedAt, ID: x.AgentID + "/" + x.InstanceID + "/" + x.Kind}
	})
	list, err := web.MapRows(found, err, noticeOf)
	if err != nil {
		return nil, err
	}
	return &noticeList{Notices: *list, Next: turning.NextCursor()}, nil
}
