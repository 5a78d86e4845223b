package web

import "context"

// TenantScope is the id of the client whose data a request may see. It is empty for an
// operator, who sees everything, and "-", which matches no client, for a request
// without a caller.
func TenantScope(ctx context.Context) string {
	p := PrincipalFrom(ctx)
	if id, all := p.Scope(); all || id != "" {
		return id
	}
	return "-"
}

// ActorName names the caller, for audit entries and for the inputs of workflows.
func ActorName(ctx context.Context) string { return PrincipalFrom(ctx).Actor() }
