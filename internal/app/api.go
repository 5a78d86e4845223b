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
				onlyLocalNames(a.Config.API.MetricsListen, a.apiPages()), nil)
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

// parts are what several resources of the API share.
type parts struct {
	keys       sealing.Keys
	tokens     *accounts.Credentials
	views      *views.Views
	notices    noticeCounts
	commands   *postgres.Commands
	models     *models.Models
	joiner     *agents.Joiner
	registered *agents.Agents
	pauses     *control.Pauses
	operations *control.Operations
	events     *pages.Events
	open       bool // callers without a token are operators
}

func (a *App) newParts(operators int) (*parts, error) {
	keys, err := a.Config.Secrets.SealingKeys()
	if err != nil {
		return nil, err
	}
	joiner, err := a.joiner()
	if err != nil {
		return nil, err
	}
	p := &parts{
		keys:     keys,
		tokens:   &accounts.Credentials{DB: a.DB},
		views:    &views.Views{DB: a.DB},
		notices:  noticeCounts{&postgres.Notices{DB: a.DB}, a.doors},
		commands: &postgres.Commands{DB: a.DB},
		models:   &models.Models{DB: a.DB},
		joiner:   joiner,
		events:   &pages.Events{Feed: pages.NewFeed(&views.Changes{DB: a.DB}, a.Log)},
		open:     operators == 0 && !a.Config.OIDC.IsConfigured() && a.Config.API.Loopback(),
		pauses: &control.Pauses{
			Store:  &decisions.Pauses{DB: a.DB},
			Shares: &agentstore.Preferences{DB: a.DB},
			Now:    time.Now,
		},
	}
	p.registered = &agents.Agents{
		Store:       &agentstore.Agents{DB: a.DB},
		Credentials: p.tokens,
		Workflows:   a.Workflows,
		Joiner:      joiner,
	}
	p.operations = &control.Operations{
		Views:     p.views,
		Evidence:  p.views,
		Roles:     &postgres.Roles{DB: a.DB},
		Workflows: a.Workflows,
	}
	return p, nil
}

// handler builds the whole HTTP surface.
func (a *App) handler() (http.Handler, *pages.Feed, error) {
	operators, err := a.Config.API.Operators()
	if err != nil {
		return nil, nil, err
	}
	p, err := a.newParts(len(operators))
	if err != nil {
		return nil, nil, err
	}
	deps := rest.Deps{
		Log:             a.Log,
		Metrics:         a.Metrics,
		Hosts:           a.Config.API.KnownHosts(),
		CORSOrigins:     a.Config.API.CORSOrigins,
		TrustedProxies:  a.Config.API.TrustedProxies,
		Web:             a.web(),
		Tokens:          p.tokens,
		Operators:       operators,
		OpenToOperators: p.open,
		SignIn:          a.signIn(p.keys),
		SessionKeys:     p.keys.Secrets(),
		Sessions:        &accounts.Sessions{DB: a.DB},
		Audit:           &audit.Log{DB: a.DB},
		Probes:          a.probes(),
		Rates:           web.DefaultRates(),
		Quotas:          &accounts.Quotas{DB: a.DB},
	}
	a.addAgents(&deps, p)
	a.addFleet(&deps, p)
	a.addModels(&deps, p)
	a.addPages(&deps, p)
	if err := a.addAccounts(&deps, p); err != nil {
		return nil, nil, err
	}
	h, err := rest.New(deps)
	if err != nil {
		return nil, nil, err
	}
	return a.tracing.Handler(h), p.events.Feed, nil
}

// addAgents adds what machines call.
func (a *App) addAgents(d *rest.Deps, p *parts) {
	d.Agents = p.registered
	d.Commands = &agents.Commands{
		Store:     p.commands,
		Reports:   &postgres.SwitchReports{DB: a.DB},
		Workflows: a.Workflows,
	}
	d.Decisions = &agents.Decisions{
		Store:     &decisions.Decisions{DB: a.DB},
		Settings:  &agentstore.Agents{DB: a.DB},
		Types:     &agentstore.Requirements{DB: a.DB},
		Pools:     p.views,
		Commands:  p.commands,
		Notices:   p.notices,
		Workflows: a.Workflows,
		EngineFor: a.engines.serving.EngineFor,
	}
	d.Pricing = &agents.Pricing{Store: &prices.Prices{DB: a.DB}, Agents: p.registered}
	d.Replicas = &agents.Replicas{
		Now:           time.Now,
		Views:         p.views,
		Store:         &postgres.Roles{DB: a.DB},
		Sync:          &agentstore.Syncs{DB: a.DB},
		Notices:       p.notices,
		Aftercare:     a.aftercare,
		Lock:          &promotionLock{&postgres.Launches{DB: a.DB}, a.Fleet},
		Workflows:     a.Workflows,
		NoticeWait:    a.Config.API.NoticeWait,
		RebalanceHold: a.Config.API.RebalanceHold,
	}
}

// addAccounts adds the clients, their accounts, tokens, limits and webhooks.
func (a *App) addAccounts(d *rest.Deps, p *parts) error {
	sinks, err := a.sinks()
	if err != nil {
		return err
	}
	d.Accounts = &control.Accounts{
		Store:     accounts.NewClientsWith(a.DB, p.keys),
		Views:     p.views,
		Workflows: a.Workflows,
		Launcher:  agent.Launcher(a.Config.API.Launcher),
	}
	d.ClientAccounts = &control.ClientAccounts{Store: &accounts.ClientAccounts{DB: a.DB}, Cloud: a.ec2Fleet()}
	d.Credentials = &control.Credentials{Store: p.tokens}
	d.Logins = &control.OperatorSessions{Store: &accounts.Sessions{DB: a.DB}, Now: time.Now}
	d.JoinRules = &control.JoinRules{Store: &accounts.Joins{DB: a.DB}}
	d.Limits = &control.Limits{Store: &accounts.Quotas{DB: a.DB}}
	d.Payloads = &control.Payloads{Codec: a.codec, UI: a.Config.Temporal.UI}
	d.Sinks = &control.Sinks{
		Store:   sinks,
		Sender:  webhook.New(a.Config.Webhooks.Allowed),
		Allowed: a.Config.Webhooks.Allowed,
	}
	return nil
}

// addFleet adds what people change about agents, instances, operations and jobs.
func (a *App) addFleet(d *rest.Deps, p *parts) {
	d.Operations = p.operations
	d.Settings = &control.Settings{Views: p.views, Store: &agentstore.Preferences{DB: a.DB}, Workflows: a.Workflows}
	d.Switches = &control.Switches{Views: p.views, Commands: p.commands, Workflows: a.Workflows}
	d.Requirements = &control.Requirements{Store: &agentstore.Requirements{DB: a.DB}}
	d.Preflight = &control.Preflight{Store: &sweeps.Preflights{DB: a.DB}, Checks: a.preflight(), Quotas: a.quotas()}
	d.LeftOvers = &control.LeftOvers{Store: &sweeps.LeftOvers{DB: a.DB}, Workflows: a.Workflows}
	d.Adoptions = &control.Adoptions{Store: &agentstore.Adoptions{DB: a.DB}}
	d.Pauses = p.pauses
	d.PoolBlocks = &control.PoolBlocks{Store: &decisions.PoolBlocks{DB: a.DB}, Now: time.Now}
	d.Approvals = &control.Approvals{
		Store: &decisions.Approvals{DB: a.DB},
		Rules: &decisions.MoveRules{DB: a.DB},
		Links: a.links(),
		Now:   time.Now,
	}
	d.Fleet = &control.Fleet{Pauses: p.pauses, Operations: p.operations, Audit: &audit.Log{DB: a.DB}}
	d.Workers = &control.Workers{Workflows: a.Workflows}
	d.Schedules = &control.Schedules{Runs: &housekeeping.Jobs{DB: a.DB}, Workflows: a.Workflows, Now: time.Now}
}

// addModels adds uploads of models and engines, and their rollouts.
func (a *App) addModels(d *rest.Deps, p *parts) {
	d.Models = &control.Models{
		Store:     p.models,
		Files:     a.engines.files,
		Off:       a.engines.loader.Off,
		Workflows: a.Workflows,
		Log:       a.Log,
	}
	d.ModelRollouts = &control.ModelRollouts{Store: &models.Rollouts{Models: *p.models}, Workflows: a.Workflows}
}

// addPages adds what pages read.
func (a *App) addPages(d *rest.Deps, p *parts) {
	d.Events = p.events
	d.ClientPages = &pages.ClientPages{Views: p.views, Now: time.Now}
	d.InstancePages = &pages.InstancePages{Views: p.views, Now: time.Now}
	d.AdminPages = &pages.AdminPages{Views: p.views, Database: a.DB, Engine: a.engineStatus, Now: time.Now}
	d.Notifications = &pages.Notifications{Store: &notifications.Notifications{DB: a.DB}}
	d.Console = &pages.Console{Views: p.views, Events: p.events, About: a.about(p.open), Now: time.Now}
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
