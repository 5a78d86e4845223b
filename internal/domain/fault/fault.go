// Package fault is the vocabulary of everything that can go wrong. A fault has a
// code, a code has a kind, and the kind alone decides what the two edges of the
// program do with it: the HTTP status, and whether Temporal tries again.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Kind says what the caller can do about a fault.
type Kind int

// Kinds. The zero Kind is Internal: the error is not classified, so it is
// retried, logged with its cause and alerted on.
const (
	Internal     Kind = iota
	Unavailable       // a dependency is away or throttles: the same call may succeed later
	Exhausted         // no capacity here: ask somewhere else
	Invalid           // the request can never succeed as it is
	Unauthorized      // the caller is not known
	Forbidden         // known, and not allowed
	NotFound          // there is no such thing, or it is not yours
	Conflict          // the present state forbids it
	TooLarge          // the body is larger than we read
	Limited           // too many attempts: slow down
)

// Retryable reports whether the same call, unchanged, may succeed later.
func (k Kind) Retryable() bool { return k == Internal || k == Unavailable }

// Code names one way to fail as "<domain>.<reason>". Codes are part of the API:
// the "code" of an HTTP error, the type of a Temporal error and a metric label.
type Code string

// registry is written while packages initialize and only read afterwards.
var registry = map[Code]Kind{}

// Define declares a code. Call it in a package-level var beside the type that
// fails this way; a second definition of one code is a programming error.
func Define(code string, kind Kind) Code {
	c := Code(code)
	if _, dup := registry[c]; dup {
		panic("fault: " + code + " is defined twice")
	}
	registry[c] = kind
	return c
}

// Codes lists every defined code in order, for documents and their tests.
func Codes() []Code { return slices.Sorted(maps.Keys(registry)) }

// Kind returns the kind the code was defined with.
func (c Code) Kind() Kind { return registry[c] }

// New returns a fault with this code and a sentence for users.
func (c Code) New(format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with the cause, which operators see and users do not.
func (c Code) Wrap(cause error, format string, args ...any) *Error {
	return &Error{Code: c, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// Error is a fault. Message is one clear sentence for the user and may change;
// Code may not. Details are additive members of the HTTP error body.
type Error struct {
	Code    Code
	Message string
	Cause   error
	Details map[string]any
}

// With adds a member to the HTTP error body and returns the fault.
func (e *Error) With(key string, value any) *Error {
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	e.Details[key] = value
	return e
}

// Error implements error; the cause is included, so it is for logs.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Type answers to the same method as temporal.ApplicationError, so that CodeOf
// reads a code on either side of a workflow boundary without the SDK.
func (e *Error) Type() string { return string(e.Code) }

// CodeOf returns the code that err carries, or "" when it is not classified.
func CodeOf(err error) Code {
	var typed interface{ Type() string }
	if errors.As(err, &typed) {
		return Code(typed.Type())
	}
	return ""
}

// KindOf returns the kind of err's code, Internal when it has none.
func KindOf(err error) Kind { return registry[CodeOf(err)] }

// Is reports whether err carries the code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }
