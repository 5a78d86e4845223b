package controlplane

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Paths on which an agent joins. The first one takes an enrolment token, the others none.
const (
	JoinPath       = "/api/agents/join"
	challengePath  = JoinPath + "/challenge"
	byRolePath     = JoinPath + "/aws-iam"
	byDocumentPath = JoinPath + "/aws-iid"
)

// Token is an agent's own token: valid for about a day, for one agent on one instance.
type Token struct {
	Token      string    `json:"token"`
	ExpiresAt  time.Time `json:"token_expires_at"`
	RenewAfter time.Time `json:"token_renew_after"`
}

// Joined is a registration with the agent's own token.
type Joined struct {
	Registered
	Token
}

// Join registers with an enrolment token. The same instance may repeat it.
func (c *Client) Join(ctx context.Context, r Registration) (Joined, error) {
	var out Joined
	err := c.Deliver(ctx, http.MethodPost, JoinPath, r, &out)
	return out, joined(out, err)
}

func joined(out Joined, err error) error {
	if err == nil && out.Token.Token == "" {
		return errors.New("the control plane's answer has no token")
	}
	return err
}

// Signer signs requests to STS with the credentials of an instance's role.
type Signer struct {
	AccessKeyID string
	Secret      string
	Token       string
	Region      string
	Domain      string    // of AWS's services, such as amazonaws.com
	Now         time.Time // by a clock that AWS agrees with
}

type signedRequest struct {
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
}

// sign signs the question who the signer is, with the answer to a challenge.
func (s Signer) sign(ctx context.Context, answer string) (signedRequest, error) {
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	address := "https://sts." + s.Region + "." + s.Domain + "/"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		return signedRequest{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("X-Spotkeeper-Challenge", answer)
	sum := sha256.Sum256([]byte(body))
	err = v4.NewSigner().SignHTTP(ctx, aws.Credentials{AccessKeyID: s.AccessKeyID, SecretAccessKey: s.Secret,
		SessionToken: s.Token}, request, hex.EncodeToString(sum[:]), "sts", s.Region, s.Now)
	out := signedRequest{http.MethodPost, address, map[string]string{}, body}
	for name := range request.Header {
		out.Headers[name] = request.Header.Get(name)
	}
	return out, err
}

// JoinByRole registers by the role of the instance. Each call has a challenge of its own,
// and is sent once: a challenge is good once.
func (c *Client) JoinByRole(ctx context.Context, r Registration, clientID string, s Signer) (Joined, error) {
	var given struct {
		Challenge string `json:"challenge"`
	}
	if err := c.Deliver(ctx, http.MethodPost, challengePath, nil, &given); err != nil {
		return Joined{}, err
	}
	// The signature names the control plane, so that no other one can pass it on.
	signed, err := s.sign(ctx, given.Challenge+"@"+strings.ToLower(c.base.Hostname()))
	if err != nil {
		return Joined{}, err
	}
	var out Joined
	err = c.once(ctx, http.MethodPost, byRolePath, struct {
		Registration
		ClientID  string        `json:"client_id,omitempty"`
		Challenge string        `json:"challenge"`
		Request   signedRequest `json:"request"`
	}{r, clientID, given.Challenge, signed}, &out)
	return out, joined(out, err)
}

// JoinByDocument registers by the identity document of the instance. The same attempt may
// be repeated.
func (c *Client) JoinByDocument(
	ctx context.Context,
	r Registration,
	clientID, signature, attempt string,
) (Joined, error) {
	var out Joined
	err := c.Deliver(ctx, http.MethodPost, byDocumentPath, struct {
		Registration
		ClientID  string `json:"client_id,omitempty"`
		Signature string `json:"signature"`
		Attempt   string `json:"attempt"`
	}{r, clientID, signature, attempt}, &out)
	return out, joined(out, err)
}
