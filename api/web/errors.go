package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/door"
)

// statuses give each kind of fault its answer.
var statuses = map[fault.Kind]int{
	fault.Internal:     http.StatusInternalServerError,
	fault.Unavailable:  http.StatusServiceUnavailable,
	fault.Exhausted:    http.StatusServiceUnavailable,
	fault.Invalid:      http.StatusBadRequest,
	fault.Unauthorized: http.StatusUnauthorized,
	fault.Forbidden:    http.StatusForbidden,
	fault.NotFound:     http.StatusNotFound,
	fault.Conflict:     http.StatusConflict,
	fault.TooLarge:     http.StatusRequestEntityTooLarge,
	fault.Limited:      http.StatusTooManyRequests,
}

// ownStatuses are the answers of codes that have another status than their kind.
var ownStatuses = map[fault.Code]int{
	NoMethod:     http.StatusMethodNotAllowed,
	door.TooSlow: http.StatusRequestTimeout,
	UnknownHost:  http.StatusMisdirectedRequest,
}

// StatusOf is the HTTP status that a code is answered with.
func StatusOf(code fault.Code) int {
	if own, ok := ownStatuses[code]; ok {
		return own
	}
	return statuses[code.Kind()]
}

// retryAfter is the Retry-After of an answer that a dependency is away, in seconds:
// it comes back in seconds or not soon.
const retryAfter = 5

// WriteError is the only place where an error becomes an answer:
// {"error": sentence, "code": code, ...details}. The cause of an unavailable
// dependency and the whole of an internal error go to the log alone.
func WriteError(c *gin.Context, err error) {
	kind, code := fault.KindOf(err), fault.CodeOf(err)
	f, coded := errors.AsType[*fault.Error](err)
	ctx := c.Request.Context()
	if !coded && code == "" &&
		(errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded)) {
		kind, code = fault.Unavailable, TimedOut // it is not classified, but the time is up
	}
	status, body := statuses[kind], map[string]any{}
	switch {
	case !coded && errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled):
		status = statusAbandoned // the caller has gone; only the access log shows it
	case status == http.StatusInternalServerError:
		LoggerOf(c).ErrorContext(ctx, "request failed", "error", err)
		body["error"], body["code"] = "An internal error occurred.", "internal"
	case coded:
		maps.Copy(body, f.Details)
		body["error"], body["code"] = f.Message, string(code)
	case code == TimedOut:
		body["error"], body["code"] = "The request could not be answered in time.", string(code)
	default: // a code that came through a workflow, as an error of another type
		body["error"], body["code"] = MessageOf(err), string(code)
	}
	if kind == fault.Unavailable {
		LoggerOf(c).LogAttrs(ctx, slog.LevelWarn, "request met an unavailable dependency", slog.Any("error", err))
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		wait := retryAfter
		if coded {
			if own, ok := f.Details["retry_after_seconds"].(int); ok {
				wait = own
			}
		}
		c.Header("Retry-After", strconv.Itoa(wait))
	}
	if kind == fault.Unauthorized {
		c.Header("WWW-Authenticate", "Bearer")
	}
	if own, ok := ownStatuses[code]; ok {
		status = own
	}
	c.Set(CodeKey, string(code))
	c.Abort()
	WriteJSON(c, status, body)
}

// TimedOut means that the route's deadline passed.
var TimedOut = fault.Define("request.timed_out", fault.Unavailable)

// statusAbandoned is what proxies log for a caller that did not wait.
const statusAbandoned = 499

// MessageOf returns the sentence of an error that came through Temporal, whose
// Error method adds its type and retry flag to the message.
func MessageOf(err error) string {
	var typed interface{ Message() string }
	if errors.As(err, &typed) {
		return typed.Message()
	}
	return err.Error()
}

// WriteJSON encodes first and writes then, so that an answer is whole or a 500.
func WriteJSON(c *gin.Context, status int, v any) {
	body, err := EncodeJSON(v)
	if err != nil {
		LoggerOf(c).ErrorContext(c.Request.Context(), "the answer cannot be encoded", "error", err)
		status, body = http.StatusInternalServerError, []byte(
			`{"code":"internal","error":"An internal error occurred."}`+"\n")
	}
	writeEncoded(c, status, body)
}

// writeEncoded writes an answer that is JSON already. No browser and no proxy keeps it: answers
// hold tokens and the state of the moment.
func writeEncoded(c *gin.Context, status int, body []byte) {
	c.Header("Cache-Control", "no-store")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(status, contentJSON, body)
}

const contentJSON = "application/json"

// EncodeJSON writes an answer as every route does: without escaped HTML, with a line end.
func EncodeJSON(v any) ([]byte, error) {
	if e, ok := v.(interface{ asJSON() []byte }); ok {
		return e.asJSON(), nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return buf.Bytes(), err
}
