package pages

import (
	"cmp"
	"context"
	"slices"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type failoversRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"only of this client; a tenant reads its own"`
	Days     *int   `json:"-" form:"days" binding:"omitempty,min=1,max=365" doc:"how far back; 30 by default"`
	Limit    *int   `json:"-" form:"limit" binding:"omitempty,min=1,max=1000" doc:"how many of the newest are listed; 200 by default. All are counted."`
}

type failoversAnswer struct {
	Since    web.ExactTime    `json:"since"`
	NoticeMs float64          `json:"notice_ms" doc:"how long AWS gives after a termination notice" example:"120000"`
	Overall  failoverTimes    `json:"overall"`
	Clients  []clientFailover `json:"clients" doc:"the same of each client that had one, the slowest first"`
	Newest   []failoverItem   `json:"failovers" doc:"newest first"`
}

// failoverTimes is a distribution of times from the first report of a notice until another
// instance was the primary.
type failoverTimes struct {
	Count    int              `json:"count" doc:"notices that were decided, lost ones included" example:"12"`
	Lost     int              `json:"lost" doc:"of those, after which nothing led"`
	InTime   int              `json:"in_time" doc:"of those, in which another instance led before the deadline"`
	P50      *float64         `json:"p50_ms" doc:"half took at most this long; null when nothing took over"`
	P90      *float64         `json:"p90_ms"`
	P99      *float64         `json:"p99_ms"`
	Max      *float64         `json:"max_ms"`
	LeastGap *float64         `json:"least_left_ms" doc:"the fewest milliseconds that were left to a deadline"`
	Buckets  []failoverBucket `json:"buckets" doc:"ascending; what is above the last bound, and what was lost, is in the last"`
}

type failoverBucket struct {
	From  float64  `json:"from_ms"`
	UpTo  *float64 `json:"up_to_ms" doc:"null: without a bound"`
	Count int      `json:"count"`
}

type clientFailover struct {
	failoverTimes

	ClientID   string `json:"client_id"`
	ClientName string `json:"client_name"`
}

type failoverItem struct {
	OperationID string        `json:"operation_id"`
	ClientID    string        `json:"client_id"`
	ClientName  string        `json:"client_name"`
	AgentID     string        `json:"agent_id"`
	AgentName   string        `json:"agent_name" doc:"the agent's logical id"`
	InstanceID  string        `json:"instance_id"`
	NewPrimary  *string       `json:"new_primary"`
	PoolID      string        `json:"pool_id"`
	Door        string        `json:"door" enum:"http eventbridge describe sweep" doc:"through which the notice came first"`
	Outcome     string        `json:"outcome" enum:"promoted lost"`
	Path        string        `json:"path" enum:"standby launch ondemand switch reported none" doc:"where the successor came from"`
	ArrivedAt   web.ExactTime `json:"arrived_at"`
	TookMs      *float64      `json:"took_ms" doc:"from the first word of the notice until another instance led"`
	LeftMs      *float64      `json:"left_ms" doc:"to the deadline then; negative after it"`
	LaunchedMs  *float64      `json:"launched_ms" doc:"from the first word; null when the successor ran already"`
	ReadyMs     *float64      `json:"ready_ms" doc:"likewise"`
}

// noticeSpan is what AWS gives: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
const noticeSpan = 2 * time.Minute

// failoverBounds are the upper bounds of the buckets of a distribution, in milliseconds. One
// of them is the notice's two minutes.
var failoverBounds = []float64{
	100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 30_000, 45_000, 60_000, 90_000, 120_000,
}

func (c *Console) failovers(ctx context.Context, in *failoversRequest) (*failoversAnswer, error) {
	since := c.Now().Add(-time.Duration(web.ValueOr(in.Days, 30)) * 24 * time.Hour)
	found, err := c.Views.Failovers(ctx, ownClient(ctx, in.ClientID), since)
	if err != nil {
		return nil, err
	}
	out := &failoversAnswer{
		Since:    web.ExactTime{Time: since},
		NoticeMs: float64(noticeSpan.Milliseconds()),
		Overall:  timesOf(found),
		Clients:  timesByClient(found),
	}
	newest := found[:min(len(found), web.ValueOr(in.Limit, 200))]
	list, err := web.MapRows(newest, nil, newFailoverItem)
	if err != nil {
		return nil, err
	}
	out.Newest = *list
	return out, nil
}

func newFailoverItem(x views.FailoverView) failoverItem {
	return failoverItem{
		OperationID: x.OperationID,
		ClientID:    x.ClientID,
		ClientName:  x.ClientName,
		AgentID:     x.AgentID,
		AgentName:   x.AgentName,
		InstanceID:  x.InstanceID,
		NewPrimary:  x.NewPrimary,
		PoolID:      x.PoolID,
		Door:        x.Door,
		Outcome:     x.Outcome,
		Path:        x.Path,
		ArrivedAt:   web.ExactTime{Time: x.ArrivedAt},
		TookMs:      x.TookMs,
		LeftMs:      x.LeftMs,
		LaunchedMs:  x.LaunchedMs,
		ReadyMs:     x.ReadyMs,
	}
}

// timesOf sums up failovers.
func timesOf(found []views.FailoverView) failoverTimes {
	out := failoverTimes{Count: len(found), Buckets: make([]failoverBucket, len(failoverBounds)+1)}
	from := 0.0
	for i, bound := range failoverBounds {
		out.Buckets[i] = failoverBucket{From: from, UpTo: &bound}
		from = bound
	}
	out.Buckets[len(failoverBounds)].From = from
	var took []float64
	for _, f := range found {
		if f.TookMs == nil {
			out.Lost++
			out.Buckets[len(failoverBounds)].Count++
			continue
		}
		took = append(took, *f.TookMs)
		at, _ := slices.BinarySearch(failoverBounds, *f.TookMs) // one on a bound belongs to the bucket that ends there
		out.Buckets[at].Count++
		if f.LeftMs != nil {
			if *f.LeftMs >= 0 {
				out.InTime++
			}
			if out.LeastGap == nil || *f.LeftMs < *out.LeastGap {
				out.LeastGap = f.LeftMs
			}
		}
	}
	slices.Sort(took)
	out.P50, out.P90, out.P99, out.Max = rankOf(took, 50), rankOf(took, 90), rankOf(took, 99), rankOf(took, 100)
	return out
}

// rankOf is the percentile by nearest rank of ascending values; nil without any.
func rankOf(ascending []float64, percent int) *float64 {
	if len(ascending) == 0 {
		return nil
	}
	value := ascending[(len(ascending)*percent+99)/100-1]
	return &value
}

// timesByClient sums up each client's failovers, the slowest by p90 first, lost ones before.
func timesByClient(found []views.FailoverView) []clientFailover {
	byClient := map[string][]views.FailoverView{}
	for _, f := range found {
		byClient[f.ClientID] = append(byClient[f.ClientID], f)
	}
	out := []clientFailover{}
	for id, own := range byClient {
		out = append(out, clientFailover{failoverTimes: timesOf(own), ClientID: id, ClientName: own[0].ClientName})
	}
	slices.SortFunc(out, func(a, b clientFailover) int {
		return cmp.Or(b.Lost-a.Lost, cmp.Compare(web.ValueOr(b.P90, 0), web.ValueOr(a.P90, 0)),
			cmp.Compare(a.ClientID, b.ClientID))
	})
	return out
}
