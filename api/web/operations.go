package web

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"spotkeeper/internal/domain/fault"
)

// operationsText is written by the tests of api/rest: legacy routes are those of the recorded
// contract, and codes are those that a test of the route has seen.
//
//go:embed operations.txt
var operationsText string

type operationNotes struct {
	legacy bool
	codes  []fault.Code
}

var operationNotesByID = sync.OnceValue(func() map[string]operationNotes {
	out := map[string]operationNotes{}
	for line := range strings.Lines(operationsText) {
		parts := strings.Split(strings.TrimSpace(line), "|")
		if strings.HasPrefix(line, "#") || len(parts) != 3 {
			continue
		}
		notes := operationNotes{legacy: strings.TrimSpace(parts[1]) == "legacy"}
		for code := range strings.FieldsSeq(parts[2]) {
			notes.codes = append(notes.codes, fault.Code(code))
		}
		out[strings.TrimSpace(parts[0])] = notes
	}
	return out
})

// everywhere are the codes that any route may answer with: they say nothing about one of them.
var everywhere = []fault.Code{
	InvalidRequest, BodyTooLarge, TimedOut, UnknownHost, TooManyRequests, MissingToken, InvalidToken, OperatorsOnly,
	ForeignOrigin, TooManyGuesses, NoRoute, NoMethod,
}

// OwnCode says whether a code is about the route, not one of those that any route may answer with.
func OwnCode(code fault.Code) bool { return !slices.Contains(everywhere, code) }

// Refuses lists the codes that the document names for a route beside those of every route.
func (r Route) Refuses() []fault.Code { return operationNotesByID()[r.ID].codes }

// IsLegacy says whether deployed agents and pages know the route from the backend before.
func (r Route) IsLegacy() bool { return operationNotesByID()[r.ID].legacy }

// about describes a route beyond its summary: who may call it, and what it keeps to.
func (r Route) about() string {
	var out []string
	switch r.Auth {
	case Anonymous:
		out = append(out, "No token is needed.")
	case Joining:
		out = append(out, "For an agent that joins, with an enrolment token.")
	case Agent:
		out = append(out, "For agents, with the token of their client.")
	case Client:
		out = append(out, "For tenants, each for what is its own, and for operators.")
	case Admin:
		out = append(out, "For operators.")
	}
	if r.Own {
		out = append(out, "An agent's own token is good for it too.")
	}
	if r.Strict {
		out = append(out, "Members and parameters that it does not know are refused.")
	}
	if r.IsLegacy() {
		out = append(out, "It keeps to the contract of deployed agents and pages: names in its bodies may be in camel case, "+
			"lists may be bare arrays.")
	}
	return strings.Join(out, " ")
}

// refusals is the answer from 400 on, with the codes of the route by status.
func (r Route) refusals() object {
	out := object{
		"description": "Refused or failed.",
		"content": object{
			"application/json": object{"schema": object{"$ref": "#/components/schemas/Error"}},
		},
	}
	byStatus, words := object{}, []string{}
	for _, code := range r.Refuses() {
		status := strconv.Itoa(StatusOf(code))
		list, _ := byStatus[status].([]string)
		byStatus[status] = append(list, string(code))
		words = append(words, fmt.Sprintf("%s (%s)", code, status))
	}
	if len(words) > 0 {
		out["description"] = "Refused or failed. Codes of this route: " + strings.Join(words, ", ") + "."
		out["x-error-codes"] = byStatus
	}
	return out
}

// commonCodes names the codes of every route, for the document's own description.
func commonCodes() string {
	words := make([]string, 0, len(everywhere))
	for _, code := range everywhere {
		words = append(words, fmt.Sprintf("%s (%d)", code, StatusOf(code)))
	}
	return strings.Join(words, ", ")
}
