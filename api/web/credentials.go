package web

import (
	"context"
	"crypto/subtle"
	"net/http"
	"reflect"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/credentials"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/trail"
)

// TokenStore finds what a token is. It is the part of accounts.Credentials that every
// request uses.
type TokenStore interface {
	SessionTokens
	// FindCredential and FindLegacy fail with credentials.not_found.
	FindCredential(ctx context.Context, hash []byte) (*credentials.StoredCredential, error)
	FindLegacy(ctx context.Context, hash []byte) (*credentials.StoredCredential, error)
	// NoteUse records that a credential was used.
	NoteUse(ctx context.Context, id, address string) error
	// RequireClient fails with clients.not_found when there is no such client.
	RequireClient(ctx context.Context, id string) error
	// RecordAuthFailure keeps a refused attempt on a route as an event.
	RecordAuthFailure(ctx context.Context, route, address, why string) error
}

// use is what the route asks of a credential.
func (r Route) use() credentials.RouteUse {
	needs := r.Scope
	if needs == "" {
		needs = credentials.Operate
		if r.Method == http.MethodGet {
			needs = credentials.Read
		}
	}
	return credentials.RouteUse{
		Agents: r.Auth == Agent,
		Joins:  r.Auth == Joining,
		Own:    r.Own,
		Old:    r.Auth == Agent || r.Old,
		Needs:  needs,
	}
}

// principalOf is who a credential stands for on a route. Fails with the codes of Find
// and of credentials.StoredCredential.Allows.
func (a *Authenticator) principalOf(c *gin.Context, r Route, token string) (Principal, error) {
	found, err := a.Find(c, r, token)
	if err != nil {
		return Principal{}, err
	}
	p := tenantOf(found)
	p.TokenDue = found.Kind == credentials.Agent && found.ExpiresAt != nil &&
		credentials.ShouldRenew(found.CreatedAt, *found.ExpiresAt, a.now())
	return p, r.allows(c, p, found)
}

// tenantOf is who a credential stands for.
func tenantOf(found *credentials.StoredCredential) Principal {
	return Principal{
		Kind: found.Kind, CredentialID: found.ID, CredentialName: found.Name, Allowed: found.Scope,
		ClientID: found.ClientID, Name: found.ClientName, Launcher: string(found.Launcher),
		AgentID: found.AgentID, LogicalID: found.LogicalID, InstanceID: found.InstanceID,
	}
}

// allows says whether a client's credential is good for the route and for what its path
// names. Fails with auth.operators_only, clients.not_found, agents.not_found and the
// codes of credentials.StoredCredential.Allows.
func (r Route) allows(c *gin.Context, p Principal, found *credentials.StoredCredential) error {
	if r.Auth == Admin {
		return OperatorsOnly.New("This is for operators only.")
	}
	if err := found.Allows(r.use()); err != nil {
		return err
	}
	if owner, named := c.Params.Get("client_id"); named && owner != p.ClientID {
		return clients.NotFound.New("Client not found")
	}
	if id, named := c.Params.Get("agent_id"); named && p.AgentID != "" && id != p.AgentID {
		return agent.NotFound.New("Agent not found")
	}
	return nil
}

// checkClient refuses an operator's reading about a client that does not exist. An empty
// list would say that the client has none of what was asked for. Routes of the recorded contract
// keep their answers, and changes are refused where they are made. Fails with
// clients.not_found.
func (a *Authenticator) checkClient(c *gin.Context, r Route, p Principal) error {
	if !p.Operator || r.Method != http.MethodGet || r.IsLegacy() {
		return nil
	}
	id, named := c.Params.Get("client_id")
	if !named {
		id = c.Query("client_id")
	}
	if id == "" {
		return nil
	}
	return a.Tokens.RequireClient(c.Request.Context(), id)
}

// Find finds the credential of a token and judges it. The look-up comes first: a good
// token is never refused because of other callers' bad ones. Fails with
// auth.invalid_token, auth.too_many_attempts and the codes of credentials.StoredCredential.Judge.
func (a *Authenticator) Find(c *gin.Context, r Route, token string) (*credentials.StoredCredential, error) {
	found, err := a.Look(c.Request.Context(), token)
	switch {
	case fault.Is(err, credentials.NotFound):
		return nil, a.refused(c, r, "unknown token", invalidToken(r))
	case err != nil:
		return nil, err
	}
	if err := found.Judge(a.now()); err != nil {
		return nil, a.refused(c, r, string(fault.CodeOf(err)), err)
	}
	a.noteUse(c, found)
	return found, nil
}

// Look looks a token up, and judges nothing. Fails with credentials.not_found.
func (a *Authenticator) Look(ctx context.Context, token string) (*credentials.StoredCredential, error) {
	hash := clients.HashToken(token)
	found, err := a.lookups.Do(ctx, string(hash), func(ctx context.Context) (*credentials.StoredCredential, error) {
		if credentials.KindOf(token) == credentials.Legacy {
			return a.Tokens.FindLegacy(ctx, hash)
		}
		return a.Tokens.FindCredential(ctx, hash)
	})
	if err == nil && subtle.ConstantTimeCompare(hash, found.TokenHash) != 1 {
		return nil, credentials.NotFound.New("There is no such credential")
	}
	return found, err
}

// invalidToken names the token that the route needs.
func invalidToken(r Route) error {
	switch r.Auth {
	case Admin:
		return InvalidToken.New("Invalid operator token")
	case Joining:
		return InvalidToken.New("Invalid enrolment token")
	case Client, Agent, Anonymous:
	}
	return InvalidToken.New("Invalid client token")
}

// refused counts a failure by its address, records it, and is the answer: the reason,
// or that there were too many. A route of a notice is never answered with the latter.
func (a *Authenticator) refused(c *gin.Context, r Route, why string, reason error) error {
	address := c.ClientIP()
	if !a.Open && !a.Gate.Fail(address) { // where everything is open there is nothing to guess
		if r.Urgent {
			return reason
		}
		return TooManyGuesses.New("Too many failed attempts: slow down.")
	}
	ctx := trail.WithRequest(c.Request.Context(), trailRequest(c, Principal{}))
	if err := a.Tokens.RecordAuthFailure(ctx, c.FullPath(), address, why); err != nil {
		LoggerOf(c).WarnContext(c.Request.Context(), "a refused attempt was not recorded", "error", err)
	}
	return reason
}

// noteUse keeps when a credential was used last, to some minutes.
func (a *Authenticator) noteUse(c *gin.Context, found *credentials.StoredCredential) {
	if found.ID == "" || found.LastUsedAt != nil && a.now().Sub(*found.LastUsedAt) < credentials.NoteUseAtLeast {
		return
	}
	if err := a.Tokens.NoteUse(c.Request.Context(), found.ID, c.ClientIP()); err != nil {
		LoggerOf(c).WarnContext(c.Request.Context(), "the use of a credential was not noted",
			"credential_id", found.ID, "error", err)
	}
}

func (a *Authenticator) now() time.Time {
	if a.Now == nil {
		return time.Now()
	}
	return a.Now()
}

// bindInstance holds a request to the instance that an agent's credential is bound to. A
// report that names no instance is about that one. Fails with
// credentials.foreign_instance.
func bindInstance(p Principal, in reflect.Value) error {
	if p.InstanceID == "" {
		return nil
	}
	for i := range in.NumField() {
		f, v := in.Type().Field(i), in.Field(i)
		switch {
		case f.Anonymous && v.Kind() == reflect.Struct:
			if err := bindInstance(p, v); err != nil {
				return err
			}
		case jsonName(f) != "instance_id" || v.Kind() != reflect.String:
		case v.String() == "":
			v.SetString(p.InstanceID)
		case v.String() != p.InstanceID:
			return credentials.ForeignInstance.New("This token is for reports from %s, not from %s.", p.InstanceID,
				v.String())
		}
	}
	return nil
}
