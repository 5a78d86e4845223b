package pages

import (
	"context"
	"runtime"
	"runtime/debug"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type eventQueueList struct {
	Queues []eventQueue `json:"queues" doc:"by queue, then by worker; those that were looked at in the last ten minutes"`
}

type eventQueue struct {
	Queue    string         `json:"queue" doc:"address of the queue" example:"https://sqs.us-east-1.amazonaws.com/111122223333/spotkeeper-events"`
	Worker   string         `json:"worker" doc:"process and host" example:"7@worker-1"`
	Received *web.ExactTime `json:"received_at" doc:"when SQS answered last; null: never"`
	Waited   int64          `json:"waited_ms" doc:"of the last minute's messages, the longest time in the queue" example:"180"`
	Error    *string        `json:"error" doc:"why the last receive failed; null when SQS answered" example:"AccessDenied: not authorized to perform sqs:ReceiveMessage"`
	Seen     web.ExactTime  `json:"seen_at" doc:"when the worker wrote this"`
}

func (c *Console) eventQueues(ctx context.Context, _ *web.None) (*eventQueueList, error) {
	found, err := c.Views.EventQueues(ctx)
	list, err := web.MapRows(found, err, func(x views.QueueView) eventQueue {
		return eventQueue{
			Queue:    x.Queue,
			Worker:   x.Worker,
			Received: web.NewExactTime(x.ReceivedAt),
			Waited:   x.WaitedMs,
			Error:    web.NilIfEmpty(x.Error),
			Seen:     web.ExactTime{Time: x.UpdatedAt},
		}
	})
	if err != nil {
		return nil, err
	}
	return &eventQueueList{Queues: *list}, nil
}

type componentList struct {
	Go         string      `json:"go" example:"go1.26.0"`
	Components []component `json:"components" doc:"as the linker has noted them in the program"`
}

type component struct {
	Name    string `json:"name" doc:"path of the module" example:"github.com/gin-gonic/gin"`
	Version string `json:"version" doc:"of the module" example:"v1.11.0"`
	Sum     string `json:"sum" doc:"checksum of the module, as go.sum has it" example:"h1:OW/6PLjyusp2PPXtyxKHU0RbX6I/l28FTdDlae5ueWk="`
	Licence string `json:"licence_url" doc:"page that shows its licence" example:"https://pkg.go.dev/github.com/gin-gonic/gin@v1.11.0?tab=licenses"`
}

// components are read from the program itself, so they are those that run.
func (*Console) components(context.Context, *web.None) (*componentList, error) {
	var modules []*debug.Module
	if info, ok := debug.ReadBuildInfo(); ok {
		modules = info.Deps
	}
	return &componentList{Go: runtime.Version(), Components: componentsOf(modules)}, nil
}

func componentsOf(modules []*debug.Module) []component {
	out := []component{}
	for _, m := range modules {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Version == "" {
			continue // a directory of the source, not a module of others
		}
		out = append(out, component{
			Name: m.Path, Version: m.Version, Sum: m.Sum,
			Licence: "https://pkg.go.dev/" + m.Path + "@" + m.Version + "?tab=licenses",
		})
	}
	return out
}
