package pg

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"

	"spotkeeper/internal/flight"
)

// Together batches concurrent callers into one call. When the batch is refused, each caller
// is served once more alone, so that a wrong one does not fail the others.
func Together[In, Out any](
	ctx context.Context,
	b *flight.Batch[In, Out],
	in In,
	run func(context.Context, []In) ([]Out, error),
) (Out, error) {
	out, err := b.Do(ctx, in, run)
	if !MayConcernOneRow(err) {
		return out, err
	}
	alone, err := run(ctx, []In{in})
	if err != nil {
		return out, err
	}
	return alone[0], nil
}

// MayConcernOneRow says whether what failed together may succeed one by one: the server
// refused something in it. A server that is away, or out of its means, is not
// asked once more for each.
func MayConcernOneRow(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch pg.Code[:2] {
	case "08", "53", "57":
		return false
	default:
		return true
	}
}
