package pg

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
)

// slowStatement is from when on a statement is logged as slow.
const slowStatement = time.Second

// tracer sees the statements of the pool, those of GORM among them; nil when
// nothing traces them.
func (o Options) tracer() pgx.QueryTracer {
	var all []pgx.QueryTracer
	if o.Log != nil {
		all = append(all, &statementLog{log: o.Log, slow: cmp.Or(o.Slow, slowStatement)})
	}
	if o.Tracer != nil {
		all = append(all, o.Tracer)
	}
	if len(all) == 0 {
		return nil
	}
	return multitracer.New(all...)
}

// statementLog logs statements with how long they took. Parameters are never logged:
// tokens and user data are among them.
type statementLog struct {
	log  *slog.Logger
	slow time.Duration
}

type statementBegun struct {
	sql string
	at  time.Time
}

type statementKey struct{}

// TraceQueryStart implements pgx.QueryTracer.
func (l *statementLog) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, statementKey{}, statementBegun{q.SQL, time.Now()})
}

// TraceQueryEnd implements pgx.QueryTracer.
func (l *statementLog) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryEndData) {
	begun, ok := ctx.Value(statementKey{}).(statementBegun)
	if !ok {
		return
	}
	level, took := slog.LevelDebug, time.Since(begun.at)
	if took >= l.slow {
		level = slog.LevelWarn
	}
	if !l.log.Enabled(ctx, level) {
		return
	}
	l.log.LogAttrs(ctx, level, "statement ended",
		slog.String("statement", strings.Join(strings.Fields(begun.sql), " ")),
		slog.Int64("took_ms", took.Milliseconds()),
		slog.Int64("rows", q.CommandTag.RowsAffected()),
		slog.Bool("failed", q.Err != nil))
}

// batchBegun is a batch of statements that go to the server in one round trip.
type batchBegun struct {
	statements int
	at         time.Time
}

type batchKey struct{}

// TraceBatchStart implements pgx.BatchTracer.
func (l *statementLog) TraceBatchStart(ctx context.Context, _ *pgx.Conn, b pgx.TraceBatchStartData) context.Context {
	return context.WithValue(ctx, batchKey{}, batchBegun{b.Batch.Len(), time.Now()})
}

// TraceBatchQuery implements pgx.BatchTracer.
func (l *statementLog) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (l *statementLog) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, b pgx.TraceBatchEndData) {
	begun, ok := ctx.Value(batchKey{}).(batchBegun)
	if !ok {
		return
	}
	level, took := slog.LevelDebug, time.Since(begun.at)
	if took >= l.slow {
		level = slog.LevelWarn
	}
	l.log.LogAttrs(ctx, level, "batch ended",
		slog.Int("statements", begun.statements), slog.Int64("took_ms", took.Milliseconds()),
		slog.Bool("failed", b.Err != nil))
}
