package control

import (
	"context"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/workflows"
)

// StillEnding means that what was launched for a client has not ended yet: its
// data is needed until then, and the same request carries on.
var StillEnding = fault.Define("clients.still_ending", fault.Unavailable)

// NotConfirmed means that the removal of a client was asked for without its name.
var NotConfirmed = fault.Define("clients.not_confirmed", fault.Invalid)

// AccountStore is the part of accounts.Clients that account routes use.
type AccountStore interface {
	Create(ctx context.Context, n clients.NewClient, by string) (*clients.Client, string, error)
	Token(ctx context.Context, id, by string) (name, token string, err error)
	RegenerateToken(ctx context.Context, id, by string) (name, token string, err error)
	Delete(ctx context.Context, id, by string) (name string, err error)
}

// AccountViews is the part of postgres.Views that account routes read.
type AccountViews interface {
	Client(ctx context.Context, id string) (*views.ClientView, error)
	AgentHistory(ctx context.Context, clientID string, p pg.Page) ([]views.AgentView, error)
	OursAlive(ctx context.Context, clientID string) (int, error)
}

// AccountWorkflows is the part of workflows.Client that account routes use.
type AccountWorkflows interface {
	RemoveAgent(ctx context.Context, agentID string, in workflows.RemoveAgentInput) (*workflows.OperationAnswer, error)
}

// Accounts serves tenants to operators: their making, their tokens, their end.
type Accounts struct {
	Store     AccountStore
	Views     AccountViews
	Workflows AccountWorkflows
	// Launcher launches for the agents of new clients; empty: the control plane.
	Launcher agent.Launcher
	// Ending is how long a deletion waits for instances to end; 0: ten seconds.
	Ending time.Duration
}

// Routes lists the endpoints.
func (a *Accounts) Routes() []web.Route {
	const one = "/api/admin/clients/:client_id"
	return []web.Route{
		{
			Method:   http.MethodPost,
			Path:     "/api/admin/clients/create",
			ID:       "createClient",
			Summary:  "Create a client with its token",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.create),
		},
		{
			Method:   http.MethodDelete,
			Path:     one,
			ID:       "deleteClient",
			Summary:  "End a client's agents and what was launched for them, and remove its data; removeClient asks for the name first",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.remove),
			Timeout:  25 * time.Second,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/remove",
			ID:       "removeClient",
			Summary:  "End a client's agents and remove its data, once the body repeats the client's name",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.removeConfirmed),
			Timeout:  25 * time.Second,
		},
		{
			Method:   http.MethodPost,
			Path:     one + "/regenerate-token",
			ID:       "regenerateToken",
			Summary:  "Replace a client's token: the old one is dead at once",
			Auth:     web.Admin,
			Status:   200,
			Endpoint: web.NewEndpoint(a.regenerate),
		},
		{
			Method:   http.MethodGet,
			Path:     one + "/token",
			ID:       "showToken",
			Summary:  "Show a client's token, which is a secret that is good until it is replaced",
			Auth:     web.Admin,
			Role:     operators.Admin,
			Recorded: true,
			Status:   200,
			Endpoint: web.NewEndpoint(a.token),
		},
	}
}

type createClientRequest struct {
	Name     string  `json:"name" doc:"unique, whatever the letters' case"`
	Email    *string `json:"email" doc:"made from the name when absent"`
	Launcher *string `json:"launcher" binding:"omitempty,oneof=control-plane agent" doc:"who launches for the client's agents"`
	Legacy   *string `json:"legacy_token" binding:"omitempty,oneof=all agent off" doc:"what the token that the client is made with may do. agent, the default: what deployed agents do; all: also what people and programs of the client do"`

	accountWish
}

type createClientAnswer struct {
	Success bool          `json:"success"`
	Client  createdClient `json:"client"`
}

type createdClient struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Token  string `json:"token"`
	Status string `json:"status"`
	Legacy string `json:"legacy_token" doc:"what the token may do: all, agent or off"`

	ExternalID string `json:"external_id" doc:"what the trust policy of the client's role requires"`
}

func (a *Accounts) create(ctx context.Context, in *createClientRequest) (*createClientAnswer, error) {
	n := clients.NewClient{Name: in.Name, Launcher: a.Launcher, Account: in.account()}
	if in.Email != nil {
		n.Email = *in.Email
	}
	if in.Launcher != nil {
		n.Launcher = agent.Launcher(*in.Launcher)
	}
	n.LegacyToken = web.ValueOr(in.Legacy, string(credentials.LegacyAgent))
	c, token, err := a.Store.Create(ctx, n, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &createClientAnswer{
		Success: true,
		Client: createdClient{
			ID:         c.ID,
			Name:       c.Name,
			Token:      token,
			Status:     string(c.Status),
			Legacy:     n.LegacyToken,
			ExternalID: c.ExternalID,
		},
	}, nil
}

type tokenAnswer struct {
	Token string `json:"token"`
	Name  string `json:"client_name"`
}

func (a *Accounts) token(ctx context.Context, in *web.ClientPath) (*tokenAnswer, error) {
	name, token, err := a.Store.Token(ctx, in.ClientID, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &tokenAnswer{Token: token, Name: name}, nil
}

// clientRequest names the client that a route without members in its body is about.
type clientRequest struct {
	web.ClientPath
	web.OptionalBody
}

type regenerateAnswer struct {
	Success bool   `json:"success"`
	Token   string `json:"token"`
	Message string `json:"message"`
}

func (a *Accounts) regenerate(ctx context.Context, in *clientRequest) (*regenerateAnswer, error) {
	_, token, err := a.Store.RegenerateToken(ctx, in.ClientID, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &regenerateAnswer{
		Success: true,
		Token:   token,
		Message: "Token regenerated successfully. Update all agents with the new token.",
	}, nil
}

type removeClientRequest struct {
	web.ClientPath
	Confirm string `json:"confirm" binding:"required,max=255" doc:"the client's name, letter by letter"`
}

// removeConfirmed requires the client's name, to guard against a mistyped id.
func (a *Accounts) removeConfirmed(ctx context.Context, in *removeClientRequest) (*web.MessageAnswer, error) {
	client, err := a.Views.Client(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	if in.Confirm != client.Name {
		return nil, NotConfirmed.New("This removes client %q with all its agents: confirm with exactly this name.",
			client.Name).With("name", client.Name)
	}
	return a.remove(ctx, &clientRequest{ClientPath: in.ClientPath})
}

// remove ends the agents first, each through its Guardian. It then waits until no instance
// that we launched is alive, and only then removes the data: without the account and its
// role such an instance could no longer be terminated. When this takes too long the
// answer says so, and repeating the request carries on from there.
func (a *Accounts) remove(ctx context.Context, in *clientRequest) (*web.MessageAnswer, error) {
	client, err := a.Views.Client(ctx, in.ClientID)
	if err != nil {
		return nil, err
	}
	agents, err := a.Views.AgentHistory(ctx, client.ID, pg.Page{})
	if err != nil {
		return nil, err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, x := range agents {
		if x.Status == agent.StatusDeleted && x.InstanceCount == 0 { // else its removal did not get to the end
			continue
		}
		g.Go(func() error {
			_, err := a.Workflows.RemoveAgent(gctx, x.ID, workflows.RemoveAgentInput{By: web.ActorName(ctx)})
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := a.awaitEnd(ctx, client.ID); err != nil {
		return nil, err
	}
	name, err := a.Store.Delete(ctx, client.ID, web.ActorName(ctx))
	if err != nil {
		return nil, err
	}
	return &web.MessageAnswer{
		Success: true,
		Message: "Client '" + strings.TrimSpace(name) + "' and all associated data have been deleted",
	}, nil
}

func (a *Accounts) awaitEnd(ctx context.Context, clientID string) error {
	within := a.Ending
	if within <= 0 {
		within = 10 * time.Second
	}
	limit := time.NewTimer(within)
	defer limit.Stop()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		alive, err := a.Views.OursAlive(ctx, clientID)
		if err != nil || alive == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return StillEnding.New(
				"The client's agents are removed and %d instances are still ending: ask again to remove its data.",
				alive).With("instances", alive)
		case <-time.After(wait):
		}
	}
}
