package rest_test

import (
	"context"
	"encoding/json"
	"sync"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/preflight"
	"spotkeeper/internal/domain/roles"
)

// aftercare keeps what would be started after the answer to a notice.
type aftercare struct {
	mu    sync.Mutex
	taken []*roles.TakenNotice
}

func (a *aftercare) BeginNotice() func() { return func() {} }

func (a *aftercare) Add(taken *roles.TakenNotice) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken = append(a.taken, taken)
}

// uncheckable is an EC2 in which nothing can be checked.
type uncheckable struct{}

func (uncheckable) Quotas(context.Context, activities.Account, string) ([]preflight.Quota, error) {
	return nil, nil
}

func (uncheckable) State(context.Context, activities.Account, string, string) (*activities.CloudInstance, error) {
	return &activities.CloudInstance{}, nil
}

func (uncheckable) Preflight(
	context.Context,
	activities.Account,
	string,
	string,
	json.RawMessage,
) ([]preflight.Check, error) {
	return []preflight.Check{{Name: "account", Result: preflight.Unknown}}, nil
}
