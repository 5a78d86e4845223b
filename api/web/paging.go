package web

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"spotkeeper/internal/postgres/pg"
)

// Headers that say where the next page of a list begins. The bodies of lists are
// what deployed pages read, so there is no room for it in them.
const (
	nextHeader = "X-Next-Cursor"
	linkHeader = "Link"
)

// Paging is embedded in the In of a list. It accepts the place after which the list is
// to begin and keeps the one where the next page does.
type Paging struct {
	After Cursor `json:"-" form:"after" doc:"the X-Next-Cursor of the page before"`
	limit int    // of the page that was asked for; zero: none
	next  string
}

// PagedWhole is the paging of a list that is complete when no limit is given.
type PagedWhole struct {
	Paging
	Limit *int `json:"-" form:"limit" binding:"omitempty,min=1,max=1000" doc:"all by default"`
}

// Page is the page that the request asks for.
func (p *PagedWhole) Page() pg.Page { return p.PageOf(ValueOr(p.Limit, 0)) }

// PageOf is the page of n elements.
func (p *Paging) PageOf(limit int) pg.Page {
	p.limit = limit
	return pg.Page{After: p.After.Cursor, Limit: limit}
}

// NextCursor is where the next page begins; nil on the last page.
func (p *Paging) NextCursor() *string { return NilIfEmpty(p.next) }

// announce links to the next page, if there is one.
func (p *Paging) announce(h http.Header, asked *url.URL) {
	if p.next == "" {
		return
	}
	next, query := *asked, asked.Query()
	query.Set("after", p.next)
	next.RawQuery = query.Encode()
	h.Set(nextHeader, p.next)
	h.Set(linkHeader, "<"+next.RequestURI()+`>; rel="next"`)
}

// paged is an In whose list has pages.
type paged interface {
	announce(h http.Header, asked *url.URL)
}

// FinishPage cuts what was read beyond the page, and notes where the next page begins:
// after the last element of this one.
func FinishPage[T any](p *Paging, found []T, err error, place func(T) pg.Cursor) ([]T, error) {
	if err != nil || p.limit == 0 || len(found) <= p.limit {
		return found, err
	}
	p.next = Cursor{place(found[p.limit-1])}.String()
	return found[:p.limit], nil
}

// Cursor is a place in a list, opaque to callers.
type Cursor struct{ pg.Cursor }

// String writes the cursor for the query.
func (c Cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(c.At.UTC().Format(time.RFC3339Nano) + " " + c.ID))
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Cursor) UnmarshalText(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(string(data))
	at, id, _ := strings.Cut(string(raw), " ")
	when, bad := time.Parse(time.RFC3339Nano, at)
	if err != nil || bad != nil || id == "" || strings.ContainsRune(id, 0) || !utf8.ValidString(id) {
		return errNotCursor
	}
	c.At, c.ID = when, id
	return nil
}

// MostListed is how many elements a legacy list shows when no limit is given.
const MostListed = 500
