package rest

import (
	"context"
	"slices"
)

// Resources are what pages, replicas, operations and notices are served from.
// A resource that is nil has its routes all the same: the table is the surface.
type Resources struct {
	Replicas   *Replicas
	Operations *Operations
	Events     *Events
	Settings   *Settings
	Accounts   *Accounts
	Switches   *Switches

	ClientPages   *ClientPages
	InstancePages *InstancePages
	AdminPages    *AdminPages
	Notifications *Notifications
	Sinks         *Sinks
	Schedules     *Schedules
	Pauses        *Pauses
	Models        *Models
	ModelRollouts *ModelRollouts
}

// moreRoutes lists the resources of replicas, clients, operations and events.
func (d Deps) moreRoutes() []Route {
	return slices.Concat(
		d.Replicas.Routes(),
		d.Operations.Routes(),
		d.Events.Routes(),
		d.Settings.Routes(),
		d.Accounts.Routes(),
		d.Switches.Routes(),
		d.ClientPages.Routes(),
		d.InstancePages.Routes(),
		d.AdminPages.Routes(),
		d.Notifications.Routes(),
		d.Sinks.Routes(),
		d.Schedules.Routes(),
		d.Pauses.Routes(),
		d.Models.Routes(),
		d.ModelRollouts.Routes(),
		d.documentRoutes(),
	)
}

// scopeOf is the tenant that a request may see; empty for an operator, who sees
// all. A request of nobody sees what nobody has.
func scopeOf(ctx context.Context) string {
	p := PrincipalFrom(ctx)
	if id, all := p.Scope(); all || id != "" {
		return id
	}
	return "-"
}

// actorOf names who asks, for events and for what workflows keep.
func actorOf(ctx context.Context) string { return PrincipalFrom(ctx).Actor() }
