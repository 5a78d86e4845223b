package app

import (
	"context"
	"log/slog"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"spotkeeper/internal/postgres/agents"
)

const (
	namesKept   = 20_000      // agents whose names are in memory
	namesWithin = time.Second // one question
)

// agentNames caches the names of agents, for Temporal's summaries and for logs. A name is
// what an agent registered with, which never changes.
type agentNames struct {
	store *agents.AgentNames
	kept  *lru.Cache[string, string]
}

func newAgentNames(store *agents.AgentNames) (*agentNames, error) {
	kept, err := lru.New[string, string](namesKept)
	return &agentNames{store: store, kept: kept}, err
}

// find returns the name of an agent, or "" when it cannot be read quickly. A missing name is
// no failure.
func (n *agentNames) find(ctx context.Context, agentID string) string {
	if name, ok := n.kept.Get(agentID); ok {
		return name
	}
	ctx, cancel := context.WithTimeout(ctx, namesWithin)
	defer cancel()
	name, err := n.store.Name(ctx, agentID)
	if err != nil {
		return ""
	}
	n.kept.Add(agentID, name)
	return name
}

// peek returns the name of an agent if it is in memory.
func (n *agentNames) peek(agentID string) string {
	name, _ := n.kept.Peek(agentID)
	return name
}

// naming adds agent=<name> to each record with an agent_id whose name is in memory. It
// never asks the database.
type naming struct {
	slog.Handler

	names *agentNames
}

// Handle implements slog.Handler.
func (h naming) Handle(ctx context.Context, r slog.Record) error {
	name := ""
	r.Attrs(func(a slog.Attr) bool {
		name = h.nameOf(a)
		return name == ""
	})
	if name != "" {
		r = r.Clone()
		r.AddAttrs(slog.String("agent", name))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h naming) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if name := h.nameOf(a); name != "" {
			attrs = append(attrs[:len(attrs):len(attrs)], slog.String("agent", name))
			break
		}
	}
	return naming{h.Handler.WithAttrs(attrs), h.names}
}

// WithGroup implements slog.Handler.
func (h naming) WithGroup(group string) slog.Handler {
	return naming{h.Handler.WithGroup(group), h.names}
}

func (h naming) nameOf(a slog.Attr) string {
	if a.Key != "agent_id" || a.Value.Kind() != slog.KindString {
		return ""
	}
	return h.names.peek(a.Value.String())
}
