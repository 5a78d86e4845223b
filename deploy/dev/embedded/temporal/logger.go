package temporal

import (
	"context"
	"log/slog"
	"runtime"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger is the server's log.Logger on top of slog. Info and debug are dropped
// before their tags are looked at: the server is talkative and no reader of the
// product reads it there.
type logger struct {
	slog *slog.Logger
	// fatal receives the message of a Fatal, which means that the server
	// cannot go on. The process may hold other parts, so it is not ended here.
	fatal func(reason string)
}

var (
	_ log.Logger      = (*logger)(nil)
	_ log.WithLogger  = (*logger)(nil)
	_ log.SLogWrapper = (*logger)(nil)
)

func (*logger) Debug(string, ...tag.Tag) {}
func (*logger) Info(string, ...tag.Tag)  {}

func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

func (l *logger) Panic(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal reports and ends the calling goroutine only: its caller counts on not
// coming back.
func (l *logger) Fatal(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	l.fatal(msg)
	runtime.Goexit()
}

// With returns a logger that adds the tags to everything it writes.
func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{slog: slog.New(l.slog.Handler().WithAttrs(attrs(tags))), fatal: l.fatal}
}

// SLog is for the libraries inside the server that log through slog.
func (l *logger) SLog() *slog.Logger { return l.slog }

func (l *logger) write(level slog.Level, msg string, tags []tag.Tag) {
	//nolint:sloglint // the message is the server's
	l.slog.LogAttrs(context.Background(), level, msg, attrs(tags)...)
}

func attrs(tags []tag.Tag) []slog.Attr {
	out := make([]slog.Attr, 0, len(tags))
	for _, t := range tags {
		out = append(out, slog.Any(t.Key(), t.Value()))
	}
	return out
}

// leveled writes what is at or above a level that moves with the server's life.
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

func (h leveled) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.level.Level() && h.Handler.Enabled(ctx, level)
}

func (h leveled) WithAttrs(as []slog.Attr) slog.Handler {
	return leveled{h.Handler.WithAttrs(as), h.level}
}

func (h leveled) WithGroup(name string) slog.Handler {
	return leveled{h.Handler.WithGroup(name), h.level}
}
