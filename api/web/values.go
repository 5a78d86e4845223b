package web

import (
	"fmt"
	"sync"

	"github.com/gin-gonic/gin"

	"spotkeeper/internal/domain/fault"
)

// Deref is the string, empty when it is missing.
func Deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// NilIfEmpty is a pointer to the string, nil when it is empty.
func NilIfEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// ValueOr is the value, or the other when it is missing.
func ValueOr[T any](v *T, other T) T {
	if v == nil {
		return other
	}
	return *v
}

// ValueOrNA is the string, or "n/a" when it is missing or empty.
func ValueOrNA(s *string) string {
	if s == nil || *s == "" {
		return "n/a"
	}
	return *s
}

// ChooseWord is one of two words.
func ChooseWord(yes bool, then, otherwise string) string {
	if yes {
		return then
	}
	return otherwise
}

// BoolPtr is the boolean that a store takes; nil stays nil.
func BoolPtr(b *Bool) *bool {
	if b == nil {
		return nil
	}
	v := bool(*b)
	return &v
}

// EmptyIfNil is the list, never nil: lists are [] on the wire and not null.
func EmptyIfNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// MapAll maps the elements of a list. The result is never nil.
func MapAll[In, Out any](list []In, make1 func(In) Out) []Out {
	out := make([]Out, 0, len(list))
	for _, x := range list {
		out = append(out, make1(x))
	}
	return out
}

// MapRows maps the rows of a store to the items of an answer. The list is never nil.
func MapRows[In, Out any](found []In, err error, make1 func(In) Out) (*[]Out, error) {
	if err != nil {
		return nil, err
	}
	out := MapAll(found, make1)
	return &out, nil
}

// IsUnavailable says whether a dependency did not answer, as against having refused.
func IsUnavailable(err error) bool { return fault.KindOf(err) == fault.Unavailable }

// PoolName names a pool for people.
func PoolName(instanceType, az string) string { return fmt.Sprintf("%s (%s)", instanceType, az) }

// QuietGin stops gin from printing its routes.
var QuietGin = sync.OnceFunc(func() { gin.SetMode(gin.ReleaseMode) })
