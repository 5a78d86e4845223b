package app

import (
	"io"
	"log/slog"

	"spotkeeper/internal/config"
	"spotkeeper/internal/tracing"
)

// NewLog makes the process's logger. Every line names the process it is from.
func NewLog(w io.Writer, c config.Log, process string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: c.Level}
	var h slog.Handler = slog.NewJSONHandler(w, opts)
	if c.Format == "text" {
		h = slog.NewTextHandler(w, opts)
	}
	return slog.New(tracing.Log(h)).With("process", process)
}
