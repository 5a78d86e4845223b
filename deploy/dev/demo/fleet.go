package demo

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	simclient "spotkeeper/internal/ec2sim/client"
)

// fleet is the demo's members: six agents of two clients, which meet every situation
// that the control plane handles.
func fleet() []*member {
	const acme, nimbus = "Acme Streaming", "Nimbus Analytics"
	return []*member{
		{client: acme, name: "checkout", instanceType: "t3.medium", zone: "us-east-1a"},
		{client: acme, name: "search", instanceType: "t3.medium", zone: "us-east-1b"},
		{client: acme, name: "gateway", instanceType: "m5.large", zone: "us-east-1a"},
		{client: nimbus, name: "warehouse", instanceType: "c5.large", zone: "us-east-1c"},
		{client: nimbus, name: "reports", instanceType: "m5.large", zone: "us-east-1b"},
		{client: nimbus, name: "etl", instanceType: "c5.large", zone: "us-east-1a"},
	}
}

// homes are the AWS accounts that the clients live in.
var homes = map[string]string{"Acme Streaming": "111122223333", "Nimbus Analytics": "444455556666"}

// account is a client of the demo, remembered over restarts.
type account struct {
	ID         string `json:"id"`
	Token      string `json:"token"`
	ExternalID string `json:"external_id"`
}

// role is what a client lets the control plane assume in its account.
func role(client string) string { return "arn:aws:iam::" + homes[client] + ":role/spotkeeper-tenant" }

// Run starts the fleet and plays its stories until ctx ends.
func Run(ctx context.Context, o Options) error {
	w := newWorld(o)
	w.members = fleet()
	accounts, err := w.accounts(ctx)
	if err != nil {
		return err
	}
	for _, m := range w.members {
		m.clientID, m.token, m.ec2 = accounts[m.client].ID, accounts[m.client].Token, w.ec2Of(homes[m.client])
	}
	for _, m := range w.members {
		if err := w.ensureInstance(ctx, m); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.live(ctx)
	}()
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		w.countSavings(ctx)
	}()
	narrated := make(chan struct{})
	go func() {
		defer close(narrated)
		w.narrate(ctx)
	}()
	err = w.playStories(ctx)
	cancel()
	<-done
	<-narrated
	<-counted
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Client is a tenant of the demo with the token its agents use.
type Client struct{ Name, ID, Token string }

// Prepare makes the demo's clients, once, and returns them, so that their tokens
// can be shown before the fleet lives.
func Prepare(ctx context.Context, o Options) ([]Client, error) {
	w := newWorld(o)
	w.members = fleet()
	accounts, err := w.accounts(ctx)
	if err != nil {
		return nil, err
	}
	var out []Client
	for _, name := range slices.Sorted(maps.Keys(accounts)) {
		out = append(out, Client{name, accounts[name].ID, accounts[name].Token})
	}
	return out, nil
}

// accounts makes the clients that are not there yet.
func (w *world) accounts(ctx context.Context) (map[string]account, error) {
	known := map[string]account{}
	if raw, err := os.ReadFile(w.o.StateFile); err == nil {
		if err := json.Unmarshal(raw, &known); err != nil {
			return nil, err
		}
	}
	for _, m := range w.members {
		if a, ok := known[m.client]; ok && w.alive(ctx, a) {
			continue
		}
		a, err := w.makeAccount(ctx, m.client, role(m.client))
		if err != nil {
			return nil, err
		}
		known[m.client] = a
	}
	for client, a := range known {
		if err := w.sim.AddRole(ctx, simclient.Role{ARN: role(client), ExternalID: a.ExternalID}); err != nil {
			return nil, err
		}
	}
	raw, err := json.Marshal(known)
	if err != nil {
		return nil, err
	}
	return known, os.WriteFile(w.o.StateFile, raw, 0o600)
}

// alive says whether a remembered client still exists: an operator may have removed
// the database and kept the file.
func (w *world) alive(ctx context.Context, a account) bool {
	var now struct {
		Token string `json:"token"`
	}
	err := w.api.call(ctx, http.MethodGet, "/api/admin/clients/"+a.ID+"/token", w.o.AdminToken, nil, &now)
	return err == nil && now.Token == a.Token
}

func (w *world) makeAccount(ctx context.Context, name, role string) (account, error) {
	var made struct {
		Client account `json:"client"`
	}
	err := w.api.call(ctx, http.MethodPost, "/api/admin/clients/create", w.o.AdminToken,
		// The story acts as the client does, with the one token that it keeps.
		map[string]any{"name": name, "role_arn": role, "legacy_token": "all"}, &made)
	if taken, ok := errors.AsType[*statusError](err); ok && taken.status == http.StatusConflict {
		// The name is taken by a client whose token was lost with the file.
		return w.makeAccount(ctx, name+" "+time.Now().UTC().Format("15:04:05"), role)
	}
	return made.Client, err
}

// countSavings has the savings of the month computed each minute, not each hour, so that
// they move while one looks.
func (w *world) countSavings(ctx context.Context) {
	for wait(ctx, time.Minute) == nil {
		path := "/api/admin/schedules/monthly-savings/trigger"
		if err := w.api.call(ctx, http.MethodPost, path, w.o.AdminToken, map[string]any{}, nil); err != nil {
			w.o.Log.DebugContext(ctx, "the savings were not computed", "error", err)
		}
	}
}
