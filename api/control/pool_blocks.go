package control

import (
	"context"
	"net/http"
	"time"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine"
	"spotkeeper/internal/postgres/decisions"
)

// BadBlock means that a block of a pool ends at no sane time.
var BadBlock = fault.Define("pool.bad_block", fault.Invalid)

// BlockStore is decisions.PoolBlocks.
type BlockStore interface {
	Set(ctx context.Context, on decisions.BlockSubject, until time.Time, reason string) error
	Lift(ctx context.Context, on decisions.BlockSubject) (lifted bool, err error)
	List(ctx context.Context, clientID, poolID string) ([]decisions.BlockView, error)
}

// PoolBlocks serve what keeps launches out of a spot pool: an operator blocks a pool for
// all clients or for one, a tenant for itself. What runs in the pool stays there.
type PoolBlocks struct {
	Store BlockStore
	Now   func() time.Time
}

// Routes lists the endpoints.
func (b *PoolBlocks) Routes() []web.Route {
	return []web.Route{
		{
			Method:   http.MethodGet,
			Path:     "/api/pool-blocks",
			ID:       "listPoolBlocks",
			Summary:  "List the spot pools that people keep launches out of",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(b.list),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/pools/:pool_id/block",
			ID:       "blockPool",
			Summary:  "Keep launches out of a spot pool until a time",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(b.block),
		},
		{
			Method:   http.MethodPost,
			Path:     "/api/pools/:pool_id/unblock",
			ID:       "unblockPool",
			Summary:  "Lift the blocks of a spot pool that the caller may lift",
			Auth:     web.Client,
			Status:   200,
			Endpoint: web.NewEndpoint(b.unblock),
		},
	}
}

type listBlocksRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"those that keep this client's launches out; a tenant reads its own"`
	PoolID   string `json:"-" form:"pool_id" binding:"max=100" doc:"only of this pool"`
}

type blockList struct {
	Blocks []blockItem `json:"blocks" doc:"that hold, by pool"`
}

type blockItem struct {
	PoolID     string        `json:"pool_id"`
	ClientID   *string       `json:"client_id" doc:"whose launches; null for those of all clients"`
	ByOperator bool          `json:"by_operator" doc:"set by an operator, and lifted by operators only"`
	Until      web.ExactTime `json:"until" doc:"when it ends by itself"`
	Reason     string        `json:"reason"`
	By         string        `json:"created_by"`
	At         web.ExactTime `json:"created_at"`
}

func newBlockItem(x decisions.BlockView) blockItem {
	return blockItem{
		PoolID:     x.PoolID,
		ClientID:   x.ClientID,
		ByOperator: x.ByOperator,
		Until:      web.ExactTime{Time: x.Until},
		Reason:     x.Reason,
		By:         x.CreatedBy,
		At:         web.ExactTime{Time: x.CreatedAt},
	}
}

func (b *PoolBlocks) list(ctx context.Context, in *listBlocksRequest) (*blockList, error) {
	client := in.ClientID
	if scope := web.TenantScope(ctx); scope != "" {
		client = scope
	}
	found, err := b.Store.List(ctx, client, in.PoolID)
	list, err := web.MapRows(found, err, newBlockItem)
	if err != nil {
		return nil, err
	}
	return &blockList{Blocks: *list}, nil
}

// blockScope is the client for which a pool is blocked. An operator names it; for a tenant
// it is the tenant itself.
type blockScope struct {
	PoolID   string `json:"-" uri:"pool_id"`
	Scope    string `json:"scope" binding:"omitempty,oneof=global client" doc:"an operator says global to act for all clients; it must agree with client_id"`
	ClientID string `json:"client_id" binding:"max=64" doc:"whose launches; a tenant may leave it out"`
}

// subject judges for whom the caller acts. Fails with request.invalid.
func (s blockScope) subject(ctx context.Context) (decisions.BlockSubject, error) {
	on := decisions.BlockSubject{
		PoolID:   s.PoolID,
		ClientID: s.ClientID,
		Operator: web.PrincipalFrom(ctx).Operator,
		By:       web.ActorName(ctx),
	}
	if tenant := web.TenantScope(ctx); tenant != "" {
		if s.Scope == "global" || s.ClientID != "" && s.ClientID != tenant {
			return on, web.InvalidRequest.New("A tenant blocks a pool for itself: leave scope and client_id out.")
		}
		on.ClientID = tenant
		return on, nil
	}
	switch {
	case s.Scope == "" && s.ClientID == "":
		return on, web.InvalidRequest.New("Name client_id, or say \"scope\": \"global\" for all clients.")
	case (s.Scope == "global") == (s.ClientID != ""), s.Scope == "client" && s.ClientID == "":
		return on, web.InvalidRequest.New("The scope %s does not agree with client_id.", s.Scope)
	}
	return on, nil
}

type blockRequest struct {
	blockScope

	Until   *web.Time `json:"until" doc:"when launches may go there again; with minutes, the earlier of the two"`
	Minutes *int      `json:"minutes" binding:"omitempty,min=1,max=129600" doc:"60 when neither is given"`
	Reason  string    `json:"reason" binding:"required,max=500" doc:"what others should know; explain says it"`
}

type blockAnswer struct {
	Success bool     `json:"success"`
	Until   web.Time `json:"until"`
}

func (b *PoolBlocks) block(ctx context.Context, in *blockRequest) (*blockAnswer, error) {
	on, err := in.subject(ctx)
	if err != nil {
		return nil, err
	}
	now := b.Now()
	until := pauseWish{Until: in.Until, Minutes: in.Minutes}.endTime(now).Truncate(time.Second)
	switch {
	case !until.After(now):
		return nil, BadBlock.New("A block must end in the future.")
	case until.Sub(now) > engine.LongestPause:
		return nil, BadBlock.New("A block lasts at most %d days.", int(engine.LongestPause.Hours()/24))
	}
	if err := b.Store.Set(ctx, on, until, in.Reason); err != nil {
		return nil, err
	}
	return &blockAnswer{Success: true, Until: web.TimeOf(until)}, nil
}

type unblockRequest struct {
	web.OptionalBody
	blockScope
}

type unblockAnswer struct {
	Success bool        `json:"success"`
	Lifted  bool        `json:"lifted" doc:"whether a block held that the caller may lift"`
	Left    []blockItem `json:"still_blocked" doc:"what still keeps launches out: blocks of a wider scope, or of operators"`
}

func (b *PoolBlocks) unblock(ctx context.Context, in *unblockRequest) (*unblockAnswer, error) {
	on, err := in.subject(ctx)
	if err != nil {
		return nil, err
	}
	lifted, err := b.Store.Lift(ctx, on)
	if err != nil {
		return nil, err
	}
	found, err := b.Store.List(ctx, on.ClientID, on.PoolID)
	left, err := web.MapRows(found, err, newBlockItem)
	if err != nil {
		return nil, err
	}
	return &unblockAnswer{Success: true, Lifted: lifted, Left: *left}, nil
}
