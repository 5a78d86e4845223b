package app

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"spotkeeper/api/agents"
	"spotkeeper/api/console"
	"spotkeeper/api/control"
	"spotkeeper/api/pages"
	"spotkeeper/api/rest"
	"spotkeeper/api/web"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/door"
	"spotkeeper/internal/identity"
	"spotkeeper/internal/postgres"
	"spotkeeper/internal/postgres/accounts"
	agentstore "spotkeeper/internal/postgres/agents"
	"spotkeeper/internal/postgres/audit"
	"spotkeeper/internal/postgres/decisions"
	"spotkeeper/internal/postgres/housekeeping"
	"spotkeeper/internal/postgres/models"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/postgres/prices"
	"spotkeeper/internal/postgres/sweeps"
	"spotkeeper/internal/postgres/views"
	"spotkeeper/internal/sealing"
	"spotkeeper/internal/webhook"
)

// RunAPI answers HTTP until ctx ends. It refuses a deployment that any caller could
// operate.
func (a *App) RunAPI(ctx context.Context) error {
	if err := a.Config.CheckSafety(); err != nil {
		return err
	}
	a.aftercare = NewAftercare(a.Workflows.FollowNotice, a.Log)
	handler, feed, err := a.handler() //nolint:contextcheck // requests bring their own context
	if err != nil {
		return err
	}
	a.fleetMetrics("api")
	var cert *door.Certificate
	if a.Config.API.TLSCert != "" {
		if cert, err = door.LoadCertificate(a.Config.API.TLSCert, a.Config.API.TLSKey, a.Log, nil); err != nil {
			return err
		}
		a.certificates.add(apiCertificate, cert.Expires)
	}
	a.sayWhatCannotWork(ctx, false)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.refuseHopeless(ctx) })
	g.Go(func() error {
		return serve(ctx, a.Log, "api", a.Config.API.Listen,
			door.New(door.Limits{Conns: a.Config.API.MaxConns}, a.Metrics), cert, handler, nil)
	})
	if a.Config.API.MetricsListen != "" {
		g.Go(func() error {
			return serve(ctx, a.Log, "api's metrics", a.Config.API.MetricsListen, door.New(opsLimits, nil), nil,
				a.apiPages(), nil)
		})
	}
	g.Go(func() error { return feed.Run(ctx) })
	g.Go(func() error { return a.newSweep().Run(ctx) })
	g.Go(func() error { return a.aftercare.Run(ctx) })
	g.Go(func() error { return a.engines.serving.Run(ctx) })
	if err := g.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// handler builds the whole HTTP surface.
func (a *App) handler() (http.Handler, *pages.Feed, error) {
	operators, err := a.Config.API.Operators()
	if err != nil {
		return nil, nil, err
	}
	keys, err := a.Config.Secrets.SealingKeys()
	if err != nil {
		return nil, nil, err
	}
	clients := accounts.NewClientsWith(a.DB, keys)
	sinks, err := a.sinks()
	if err != nil {
		return nil, nil, err
	}
	tokens := &accounts.Credentials{DB: a.DB}
	reader := &views.Views{DB: a.DB}
	notices, commands := noticeCounts{&postgres.Notices{DB: a.DB}, a.doors}, &postgres.Commands{DB: a.DB}
	modelStore := &models.Models{DB: a.DB}
	preferences := &agentstore.Preferences{DB: a.DB}
	feed := pages.NewFeed(&views.Changes{DB: a.DB}, a.Log)
	joiner, err := a.joiner()
	if err != nil {
		return nil, nil, err
	}
	registered := &agents.Agents{
		Store:       &agentstore.Agents{DB: a.DB},
		Credentials: tokens,
		Workflows:   a.Workflows,
		Joiner:      joiner,
	}
	pauses := &control.Pauses{Store: &decisions.Pauses{DB: a.DB}, Shares: preferences, Now: time.Now}
	operations := &control.Operations{
		Views:     reader,
		Evidence:  reader,
		Roles:     &postgres.Roles{DB: a.DB},
		Workflows: a.Workflows,
	}
	events := &pages.Events{Feed: feed}
	open := len(operators) == 0 && !a.Config.OIDC.IsConfigured() && a.Config.API.Loopback()
	deps := rest.Deps{
		Log:             a.Log,
		Metrics:         a.Metrics,
		Hosts:           a.Config.API.KnownHosts(),
		CORSOrigins:     a.Config.API.CORSOrigins,
		TrustedProxies:  a.Config.API.TrustedProxies,
		Web:             a.web(),
		Tokens:          tokens,
		Operators:       operators,
		OpenToOperators: open,
		SignIn:          a.signIn(keys),
		SessionKeys:     keys.Secrets(),
		Sessions:        &accounts.Sessions{DB: a.DB},
		Audit:           &audit.Log{DB: a.DB},
		Probes:          a.probes(),
		Agents:          registered,
		Commands: &agents.Commands{
			Store:     commands,
			Reports:   &postgres.SwitchReports{DB: a.DB},
			Workflows: a.Workflows,
		},
		Decisions: &agents.Decisions{
			Store:     &decisions.Decisions{DB: a.DB},
			Settings:  &agentstore.Agents{DB: a.DB},
			Types:     &agentstore.Requirements{DB: a.DB},
			Pools:     reader,
			Commands:  commands,
			Notices:   notices,
			Workflows: a.Workflows,
			EngineFor: a.engines.serving.EngineFor,
		},
		Pricing: &agents.Pricing{Store: &prices.Prices{DB: a.DB}, Agents: registered},
		Replicas: &agents.Replicas{
			Now:           time.Now,
			Views:         reader,
			Store:         &postgres.Roles{DB: a.DB},
			Sync:          &agentstore.Syncs{DB: a.DB},
			Notices:       notices,
			Aftercare:     a.aftercare,
			Lock:          &promotionLock{&postgres.Launches{DB: a.DB}, a.Fleet},
			Workflows:     a.Workflows,
			NoticeWait:    a.Config.API.NoticeWait,
			RebalanceHold: a.Config.API.RebalanceHold,
		},
		Operations:  operations,
		Events:      events,
		Settings:    &control.Settings{Views: reader, Store: preferences, Workflows: a.Workflows},
		Credentials: &control.Credentials{Store: tokens},
		Logins:      &control.OperatorSessions{Store: &accounts.Sessions{DB: a.DB}, Now: time.Now},
		Payloads:    &control.Payloads{Codec: a.codec, UI: a.Config.Temporal.UI},
		Limits:      &control.Limits{Store: &accounts.Quotas{DB: a.DB}},
		Rates:       web.DefaultRates(),
		Quotas:      &accounts.Quotas{DB: a.DB},
		Accounts: &control.Accounts{
			Store:     clients,
			Views:     reader,
			Workflows: a.Workflows,
			Launcher:  agent.Launcher(a.Config.API.Launcher),
		},
		Switches:       &control.Switches{Views: reader, Commands: commands, Workflows: a.Workflows},
		Requirements:   &control.Requirements{Store: &agentstore.Requirements{DB: a.DB}},
		Preflight:      &control.Preflight{Store: &sweeps.Preflights{DB: a.DB}, Checks: a.preflight(), Quotas: a.quotas()},
		LeftOvers:      &control.LeftOvers{Store: &sweeps.LeftOvers{DB: a.DB}, Workflows: a.Workflows},
		ClientAccounts: &control.ClientAccounts{Store: &accounts.ClientAccounts{DB: a.DB}, Cloud: a.ec2Fleet()},
		Adoptions:      &control.Adoptions{Store: &agentstore.Adoptions{DB: a.DB}},
		JoinRules:      &control.JoinRules{Store: &accounts.Joins{DB: a.DB}},

		ClientPages:   &pages.ClientPages{Views: reader, Now: time.Now},
		InstancePages: &pages.InstancePages{Views: reader, Now: time.Now},
		AdminPages:    &pages.AdminPages{Views: reader, Database: a.DB, Engine: a.engineStatus, Now: time.Now},
		Notifications: &pages.Notifications{Store: &notifications.Notifications{DB: a.DB}},
		Sinks: &control.Sinks{
			Store:   sinks,
			Sender:  webhook.New(a.Config.Webhooks.Allowed),
			Allowed: a.Config.Webhooks.Allowed,
		},
		Models: &control.Models{
			Store:     modelStore,
			Files:     a.engines.files,
			Off:       a.engines.loader.Off,
			Workflows: a.Workflows,
			Log:       a.Log,
		},
		ModelRollouts: &control.ModelRollouts{Store: &models.Rollouts{Models: *modelStore}, Workflows: a.Workflows},
		Workers:       &control.Workers{Workflows: a.Workflows},
		Schedules:     &control.Schedules{Runs: &housekeeping.Jobs{DB: a.DB}, Workflows: a.Workflows, Now: time.Now},
		Pauses:        pauses,
		PoolBlocks:    &control.PoolBlocks{Store: &decisions.PoolBlocks{DB: a.DB}, Now: time.Now},
		Approvals: &control.Approvals{
			Store: &decisions.Approvals{DB: a.DB},
			Rules: &decisions.MoveRules{DB: a.DB},
			Links: a.links(),
			Now:   time.Now,
		},
		Fleet:   &control.Fleet{Pauses: pauses, Operations: operations, Audit: &audit.Log{DB: a.DB}},
		Console: &pages.Console{Views: reader, Events: events, About: a.about(open), Now: time.Now},
	}
	h, err := rest.New(deps)
	if err != nil {
		return nil, nil, err
	}
	return a.tracing.Handler(h), feed, nil
}

// apiPages are what operators of the deployment see of an api.
func (a *App) apiPages() http.Handler {
	mux := a.opsPages()
	mux.HandleFunc("GET /ready", rest.ReadyPage(a.probes()))
	return mux
}

// about is the process's description of itself.
func (a *App) about(open bool) pages.About {
	at := console.Base
	if a.Config.API.WebDir == "" {
		at = "/"
	}
	return pages.About{
		Started:     time.Now(),
		Open:        open,
		TemporalUI:  strings.TrimSuffix(a.Config.Temporal.UI, "/"),
		Namespace:   cmp.Or(a.Workflows.Namespace, "default"),
		ConsolePath: at,
	}
}

// web serves the console below its path, and elsewhere the page of WEB_DIR, or without
// one the console too.
func (a *App) web() http.Handler {
	own := console.Handler()
	if a.Config.API.WebDir == "" {
		return own
	}
	page := a.webDir()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path+"/", console.Base) {
			own.ServeHTTP(w, r)
			return
		}
		page.ServeHTTP(w, r)
	})
}

// webDir serves a built page from WEB_DIR, and its index for the page's own routes.
func (a *App) webDir() http.Handler {
	root := os.DirFS(a.Config.API.WebDir)
	files := http.FileServerFS(root)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if info, err := fs.Stat(root, strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")); err == nil &&
			!info.IsDir() {
			files.ServeHTTP(w, r)
			return
		}
		http.ServeFileFS(w, r, root, "index.html")
	})
}

// signIn is how operators log in at the identity provider; nil without one.
func (a *App) signIn(keys sealing.Keys) *rest.SignIn {
	o := a.Config.OIDC
	if !o.IsConfigured() {
		return nil
	}
	return &rest.SignIn{Box: keys.BoxFor("logins"), Provider: identity.New(identity.Options{
		Issuer:       o.Issuer,
		ClientID:     o.ClientID,
		ClientSecret: o.ClientSecret.Reveal(),
		RedirectURL:  o.RedirectURL,
		Scopes:       o.Scopes,
		NameClaim:    o.NameClaim,
		GroupsClaim:  o.GroupsClaim,
		Roles:        o.Roles(),
	}, nil, time.Now)}
}
