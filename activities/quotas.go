package activities

import (
	"context"
	"log/slog"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/preflight"
)

// QuotaPlace is a region of a client's account, with what runs there.
type QuotaPlace struct {
	Account Account
	Region  string
	Use     []preflight.Usage
}

// QuotaStore lists the accounts and regions to check and stores their quotas.
type QuotaStore interface {
	// QuotaPlaces lists regions of one client, or of all when clientID is empty; due leaves
	// out what was checked within a day.
	QuotaPlaces(ctx context.Context, clientID string, due bool, limit int) ([]QuotaPlace, error)
	// KeepQuotas stores a report, and notifies the client when checks begin to fail and when
	// they are mended.
	KeepQuotas(ctx context.Context, clientID, region string, checks []preflight.Check, at time.Time) error
}

// Quotas hold the limits of accounts against what the loss of a zone would need.
type Quotas struct {
	Store QuotaStore
	Fleet interface {
		Quotas(ctx context.Context, a Account, region string) ([]preflight.Quota, error)
	}
	Log *slog.Logger
}

// mostRegions is how many regions of one client are checked at once on demand.
const mostRegions = 40

// Check checks all regions of a client now. It changes nothing at AWS and the last report
// holds, so it may run any number of times.
func (q *Quotas) Check(ctx context.Context, clientID string) error {
	places, err := q.Store.QuotaPlaces(ctx, clientID, false, mostRegions)
	if err != nil {
		return err
	}
	for _, p := range places {
		if err := q.checkPlace(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// CheckDue checks the regions that were not checked within a day, and says how many. One
// account that does not answer delays no other.
func (q *Quotas) CheckDue(ctx context.Context, limit int) (int, error) {
	places, err := q.Store.QuotaPlaces(ctx, "", true, limit)
	if err != nil {
		return 0, err
	}
	bounds := fairness{atOnce: watchedAtOnce, client: primariesWithin, one: primaryWithin}
	eachFairly(ctx, places, func(p QuotaPlace) string { return p.Account.ClientID }, bounds,
		func(ctx context.Context, p QuotaPlace) {
			if err := q.checkPlace(ctx, p); err != nil {
				q.Log.WarnContext(ctx, "a report on quotas was not kept", "client_id", p.Account.ClientID,
					"region", p.Region, "error", err)
			}
		})
	return len(places), ctx.Err()
}

// checkPlace keeps a report. Quotas that cannot be read leave it unknown.
func (q *Quotas) checkPlace(ctx context.Context, p QuotaPlace) error {
	checks := []preflight.Check{{Name: "quotas in " + p.Region, Result: preflight.Unknown,
		Repair: "allow servicequotas:ListServiceQuotas, which the template of the tenant's role does"}}
	found, err := q.Fleet.Quotas(ctx, p.Account, p.Region)
	if err != nil {
		checks[0].Detail = "Service Quotas cannot be read (" + string(fault.CodeOf(err)) + ")"
	} else {
		checks = preflight.JudgeQuotas(p.Region, p.Use, found)
	}
	return q.Store.KeepQuotas(ctx, p.Account.ClientID, p.Region, checks, time.Now().UTC())
}
