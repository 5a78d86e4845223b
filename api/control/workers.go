package control

import (
	"context"
	"net/http"

	"spotkeeper/api/web"
	"spotkeeper/workflows"
)

// WorkerWorkflows is the part of workflows.Client that lists workers.
type WorkerWorkflows interface {
	Workers(ctx context.Context) ([]workflows.Worker, []workflows.WorkerVersion, error)
}

// Workers serve which processes do the work.
type Workers struct{ Workflows WorkerWorkflows }

// Routes lists the endpoints.
func (w *Workers) Routes() []web.Route {
	return []web.Route{{
		Method:   http.MethodGet,
		Path:     "/api/admin/workers",
		ID:       "listWorkers",
		Summary:  "List the workers that asked Temporal for work in the last minutes, and the share of each of their versions",
		Auth:     web.Admin,
		Status:   200,
		Endpoint: web.NewEndpoint(w.list),
	}}
}

type workerList struct {
	Workers  []workerItem    `json:"workers" doc:"by queue"`
	Versions []workerVersion `json:"versions" doc:"newest first, of workers that are versioned"`
}

type workerItem struct {
	Identity   string         `json:"identity" doc:"process and host, as Temporal knows the worker" example:"7@worker-1"`
	Queue      string         `json:"queue" doc:"task queue of Temporal" example:"control"`
	LastSeen   *web.ExactTime `json:"last_seen_at" doc:"when it asked for work last"`
	Deployment string         `json:"deployment" doc:"empty: it is not versioned" example:"spotkeeper"`
	BuildID    string         `json:"build_id" doc:"empty: it is not versioned" example:"1f2e3d4"`
}

type workerVersion struct {
	Deployment string         `json:"deployment" doc:"name of the deployment" example:"spotkeeper"`
	BuildID    string         `json:"build_id" doc:"the version" example:"1f2e3d4"`
	Created    *web.ExactTime `json:"created_at"`
	Current    bool           `json:"current" doc:"whether it has the new workflows, those of a ramp aside"`
	Ramp       float64        `json:"ramp_percent" doc:"share of the new workflows that a version beside the current one has" example:"10"`
	Drained    bool           `json:"drained" doc:"no open workflow is pinned to it"`
}

func (w *Workers) list(ctx context.Context, _ *web.None) (*workerList, error) {
	workers, versions, err := w.Workflows.Workers(ctx)
	if err != nil {
		return nil, err
	}
	out := &workerList{Workers: []workerItem{}, Versions: []workerVersion{}}
	for _, x := range workers {
		out.Workers = append(out.Workers, workerItem{
			Identity: x.Identity, Queue: x.Queue, LastSeen: web.NewExactTime(&x.LastSeen), Deployment: x.Deployment, BuildID: x.BuildID,
		})
	}
	for _, v := range versions {
		out.Versions = append(out.Versions, workerVersion{
			Deployment: v.Deployment, BuildID: v.BuildID, Created: web.NewExactTime(&v.Created), Current: v.Current,
			Ramp: float64(v.Ramp), Drained: v.Drained,
		})
	}
	return out, nil
}
