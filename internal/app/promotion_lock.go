package app

import (
	"context"

	"spotkeeper/internal/domain/adoption"
	"spotkeeper/internal/fleet"
	"spotkeeper/internal/postgres"
)

// promotionLock is what stands in front of a promotion that a person asks for: the locks of
// a termination, because what is promoted is the agent from then on and what it replaces
// is ended.
type promotionLock struct {
	store *postgres.Launches
	fleet *fleet.Provider
}

// RequireOurs requires that the row of an instance is proven, and that EC2, asked now,
// shows our tags and the client's on it. One that is unproven is left to the judgement of
// the roles: it may take over from another that is unproven. Fails with
// instance.not_ours, and as reads do when EC2 does not answer.
func (l *promotionLock) RequireOurs(ctx context.Context, agentID, instanceID string) error {
	at, err := l.store.Whereabouts(ctx, agentID, instanceID)
	if err != nil || at.Proof == adoption.Unproven {
		return err
	}
	return l.fleet.RequireOurs(ctx, fleet.Account(at.Account), at.Region, instanceID)
}
