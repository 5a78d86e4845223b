// Package clients defines tenants: who they are, how they prove it, and what a
// name and an e-mail address may be. It is pure: randomness is passed in.
package clients

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"
	"unicode/utf8"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/plaintext"
)

// Ways to fail.
var (
	NotFound   = fault.Define("clients.not_found", fault.NotFound)
	NameTaken  = fault.Define("clients.name_taken", fault.Conflict)
	EmailTaken = fault.Define("clients.email_taken", fault.Conflict)
	BadName    = fault.Define("clients.bad_name", fault.Invalid)
	BadEmail   = fault.Define("clients.bad_email", fault.Invalid)
)

// Status says whether a client may use its token.
type Status string

// Statuses.
const (
	Active   Status = "active"
	Inactive Status = "inactive"
)

// Client is a tenant. Its token is not here: it is kept sealed, and shown only
// by the call that asks for it.
type Client struct {
	ID        string
	Name      string
	Email     string
	Status    Status
	Launcher  agent.Launcher // who launches for its new agents
	TokenHash []byte         // of the present token
	CreatedAt time.Time

	ExternalID string // what the trust policy of its role requires; only of a client that was just made
}

// NewClient is the input of creating a client.
type NewClient struct {
	ID       string // empty: one is made
	Name     string
	Email    string         // empty: made from the name
	Launcher agent.Launcher // empty: the control plane
	Account  Account
	// LegacyToken is what the token that the client is made with may do: all, agent or
	// off. Empty: agent, which is what deployed agents need of it and no more.
	LegacyToken string
}

// Normalize trims the name, fills in the e-mail address and judges both, and the account.
// Fails with clients.bad_name, clients.bad_email and clients.bad_account.
func (n *NewClient) Normalize() error {
	n.Name = strings.TrimSpace(n.Name)
	if err := n.Account.Normalize(); err != nil {
		return err
	}
	switch {
	case n.Name == "":
		return BadName.New("Client name is required")
	case utf8.RuneCountInString(n.Name) > 255:
		return BadName.New("The client name is longer than 255 characters")
	case strings.ContainsFunc(n.Name, plaintext.IsHidden):
		return BadName.New("The client name contains a character that is not shown")
	}
	if n.Launcher == "" {
		n.Launcher = agent.ControlPlane
	}
	if n.LegacyToken == "" {
		n.LegacyToken = "agent"
	}
	n.Email = strings.TrimSpace(n.Email)
	if n.Email == "" {
		n.Email = strings.ReplaceAll(strings.ToLower(n.Name), " ", "_") + "@example.com"
		if utf8.RuneCountInString(n.Email) > 255 {
			return BadEmail.New("The name is too long to make an e-mail address of it: give one")
		}
		return nil
	}
	if a, err := mail.ParseAddress(n.Email); err != nil || a.Address != n.Email ||
		utf8.RuneCountInString(n.Email) > 255 || strings.ContainsFunc(n.Email, plaintext.IsHidden) {
		return BadEmail.New("%q is not an e-mail address", n.Email)
	}
	return nil
}

// alphabet has 62 characters: tokens go into headers and shell scripts.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// TokenPrefix begins every token, so that secret scanners can find it.
const TokenPrefix = "token-"

// NewToken makes a token of 32 random characters, each equally likely.
func NewToken(random io.Reader) (string, error) {
	const length, unbiased = 32, 256 - 256%len(alphabet)
	token, buf := make([]byte, 0, length), make([]byte, 64)
	for len(token) < length {
		if _, err := io.ReadFull(random, buf); err != nil {
			return "", fmt.Errorf("read random bytes: %w", err)
		}
		for _, b := range buf {
			if int(b) < unbiased && len(token) < length {
				token = append(token, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return TokenPrefix + string(token), nil
}

// HashToken is what a token is looked up by. A token has 190 random bits, so that a
// plain SHA-256 needs neither salt nor stretching.
func HashToken(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}
