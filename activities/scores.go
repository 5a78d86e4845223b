package activities

import (
	"context"
	"log/slog"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// ScorePlace is a type in a region of a client's account, with the types that can replace it.
type ScorePlace struct {
	Account      Account
	Region       string
	InstanceType string
	Fitting      []string // the type itself among them
}

// ScoreStore lists the places to ask about and stores their placement scores.
type ScoreStore interface {
	// ScorePlaces lists places whose scores are older than an hour, those first that were read
	// longest ago. Where the role may not ask it is not asked again within an hour.
	ScorePlaces(ctx context.Context, limit int) ([]ScorePlace, error)
	// KeepScores stores the scores of a place by zone.
	KeepScores(ctx context.Context, p ScorePlace, scores map[string]int) error
	// KeepScoresRefused notes that the role may not ask.
	KeepScoresRefused(ctx context.Context, p ScorePlace) error
}

// Scores read EC2's placement scores in calm, so that a choice in an emergency has them
// without a call.
type Scores struct {
	Store ScoreStore
	Fleet interface {
		PlacementScores(ctx context.Context, a Account, region string, instanceTypes []string) (map[string]int, error)
	}
	Log *slog.Logger
}

// ReadDue reads the scores that are due and says of how many places. The last scores hold,
// so it may run any number of times. One account that does not answer delays no other.
func (s *Scores) ReadDue(ctx context.Context, limit int) (int, error) {
	places, err := s.Store.ScorePlaces(ctx, limit)
	if err != nil {
		return 0, err
	}
	bounds := fairness{atOnce: watchedAtOnce, client: primariesWithin, one: primaryWithin}
	eachFairly(ctx, places, func(p ScorePlace) string { return p.Account.ClientID }, bounds,
		func(ctx context.Context, p ScorePlace) {
			if err := s.read(ctx, p); err != nil {
				s.Log.WarnContext(ctx, "placement scores could not be read", "client_id", p.Account.ClientID,
					"region", p.Region, "code", fault.CodeOf(err), "error", err)
			}
		})
	return len(places), ctx.Err()
}

func (s *Scores) read(ctx context.Context, p ScorePlace) error {
	scores, err := s.Fleet.PlacementScores(ctx, p.Account, p.Region, p.Fitting)
	if fault.Is(err, replica.Refused) {
		return s.Store.KeepScoresRefused(ctx, p)
	}
	if err != nil {
		return err
	}
	return s.Store.KeepScores(ctx, p, scores)
}
