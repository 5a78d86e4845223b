package control

import (
	"cmp"
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/mlmodel"
	"spotkeeper/internal/postgres/pg"
)

type sessionAnswer struct {
	ID          string        `json:"id"`
	State       mlmodel.State `json:"status"`
	Live        bool          `json:"isLive"`
	Fallback    bool          `json:"isFallback"`
	Count       int           `json:"fileCount"`
	Files       []string      `json:"files"`
	Size        int64         `json:"totalSize"`
	CreatedAt   web.Time      `json:"createdAt"`
	ActivatedAt *web.Time     `json:"activatedAt"`
}

type sessionsRequest struct {
	web.PagedWhole
	All  *web.Bool    `json:"-" form:"all" doc:"also what is archived or was refused"`
	Kind mlmodel.Kind `json:"-" form:"kind" binding:"omitempty,oneof=models engine" doc:"models by default"`
}

// sessions lists no archived ones unasked: the page would show one of them as
// pending.
func (m *Models) sessions(ctx context.Context, in *sessionsRequest) (*[]sessionAnswer, error) {
	found, err := m.Store.Sessions(ctx, cmp.Or(in.Kind, mlmodel.Models), in.All.Or(false), in.Page())
	found, err = web.FinishPage(&in.Paging, found, err, func(s mlmodel.Session) pg.Cursor {
		return pg.Cursor{At: s.CreatedAt, ID: s.ID}
	})
	return web.MapRows(found, err, func(s mlmodel.Session) sessionAnswer {
		return sessionAnswer{
			ID:          s.ID,
			State:       s.State,
			Live:        s.Live,
			Fallback:    s.Fallback,
			Count:       len(s.Files),
			Files:       fileNames(s.Files),
			Size:        s.Size(),
			CreatedAt:   web.TimeOf(s.CreatedAt),
			ActivatedAt: web.NewTime(s.ActivatedAt),
		}
	})
}
