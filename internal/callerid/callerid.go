// Package callerid asks AWS STS who has signed a request.
package callerid

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"spotkeeper/internal/domain/joining"
)

const (
	within    = 10 * time.Second
	maxAnswer = 64 << 10
)

// STS sends requests that were signed elsewhere.
type STS struct {
	endpoint string
	client   *http.Client
}

// New makes an STS. With an endpoint, such as a simulator's, requests go there instead of
// to the host that they are signed for.
func New(endpoint string) *STS {
	return &STS{endpoint: strings.TrimSuffix(endpoint, "/"), client: &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}, // joins are rare
		Timeout:       within,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Caller sends a request that joining.SignedRequest.Judge has found to be for this host.
// Fails with join.refused when STS refuses it, and with join.sts_unavailable.
func (s *STS) Caller(ctx context.Context, host string, r joining.SignedRequest) (joining.Caller, error) {
	base := s.endpoint
	if base == "" {
		base = "https://" + host
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/", strings.NewReader(r.Body))
	if err != nil {
		return joining.Caller{}, err
	}
	for name, value := range r.Headers {
		switch http.CanonicalHeaderKey(name) {
		case "Host", "Content-Length", "Accept-Encoding":
		default:
			request.Header.Set(name, value)
		}
	}
	request.Host = host
	answer, err := s.client.Do(request)
	if err != nil {
		return joining.Caller{}, joining.Unavailable.Wrap(err, "AWS STS does not answer: try again.")
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return joining.Caller{}, joining.Unavailable.Wrap(err, "The answer of AWS STS was cut: try again.")
	}
	switch {
	case answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= 500:
		return joining.Caller{}, joining.Unavailable.New("AWS STS answered %d: try again.", answer.StatusCode)
	case answer.StatusCode != http.StatusOK:
		return joining.Caller{}, joining.Refused.New("AWS STS refuses the signed request (%s): "+
			"is the instance's clock right, and has it an instance profile?", codeOf(content))
	}
	return parse(content)
}

func codeOf(content []byte) string {
	var said struct {
		Code string `xml:"Error>Code"`
	}
	if xml.Unmarshal(content, &said) != nil || len(said.Code) > 100 {
		return "no code"
	}
	return said.Code
}

func parse(content []byte) (joining.Caller, error) {
	var said struct {
		XMLName xml.Name `xml:"GetCallerIdentityResponse"`
		Account string   `xml:"GetCallerIdentityResult>Account"`
		ARN     string   `xml:"GetCallerIdentityResult>Arn"`
	}
	err := xml.Unmarshal(content, &said)
	if err == nil && (said.Account == "" || said.ARN == "") {
		err = errors.New("there is no caller in it")
	}
	if err != nil {
		return joining.Caller{}, fmt.Errorf("read the answer of STS: %w", err)
	}
	return joining.Caller{Account: said.Account, ARN: said.ARN}, nil
}
