package joining

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// ChallengeHeader carries the answer to the challenge in the signed request.
const ChallengeHeader = "X-Spotkeeper-Challenge"

// Answer is what an agent signs for a challenge: the challenge, and the host that the
// agent takes for its control plane. Another host that relays the challenge gets a
// signature that names itself.
func Answer(challenge, host string) string { return challenge + "@" + strings.ToLower(host) }

// SignedRequest is a request to STS, signed by the credentials of an instance's role, as
// the agent hands it over. It has the shape of the request itself.
type SignedRequest struct {
	Method  string            `json:"method" binding:"required,max=8"`
	URL     string            `json:"url" binding:"required,max=200" doc:"https://sts.<region>.amazonaws.com/"`
	Headers map[string]string `json:"headers" binding:"required,max=12" doc:"with Authorization, X-Amz-Date, X-Amz-Security-Token and X-Spotkeeper-Challenge"`
	Body    string            `json:"body" binding:"required,max=200" doc:"Action=GetCallerIdentity&Version=2011-06-15"`
}

var (
	// stsHost is AWS's own: https://docs.aws.amazon.com/general/latest/gr/sts.html.
	stsHost = regexp.MustCompile(`^sts(-fips)?\.([a-z]{2}(?:-[a-z]+)+-[1-9])\.amazonaws\.com(\.cn)?$`)
	// authorization is the header of Signature Version 4,
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html.
	authorization = regexp.MustCompile(
		`^AWS4-HMAC-SHA256 Credential=[A-Z0-9]{16,128}/\d{8}/([a-z0-9-]+)/sts/aws4_request, ?` +
			`SignedHeaders=([a-z0-9;-]+), ?Signature=[0-9a-f]{64}$`)
	// relayed are the headers that a request may have.
	relayed = []string{"Accept", "Accept-Encoding", "Authorization", "Content-Length", "Content-Type", "Host",
		"User-Agent", "X-Amz-Date", "X-Amz-Security-Token", ChallengeHeader}
	// mustSign are the headers that the signature must cover.
	mustSign = []string{"host", "x-amz-date", "x-amz-security-token", "x-spotkeeper-challenge"}
)

// Judge says whether the request asks STS who its signer is, and nothing else, and answers
// this challenge for one of the hosts, which are the control plane's own. The signature
// itself is for STS to judge. Fails with join.refused.
func (r *SignedRequest) Judge(challenge string, hosts []string) (host string, err error) {
	if r.Method != http.MethodPost {
		return "", Refused.New("The signed request must be a POST.")
	}
	at, err := url.Parse(r.URL)
	if err != nil || at.Scheme != "https" || at.User != nil || at.RawQuery != "" || at.ForceQuery || at.Fragment != "" ||
		at.Path != "" && at.Path != "/" || at.Opaque != "" {
		return "", Refused.New("The signed request must be for https://sts.<region>.amazonaws.com/ alone.")
	}
	region, known := regionOf(at.Host)
	if !known {
		return "", Refused.New("%q is not a host of AWS STS.", at.Host)
	}
	if !isGetCallerIdentity(r.Body) {
		return "", Refused.New("The signed request must be GetCallerIdentity of the version 2011-06-15 and nothing else.")
	}
	headers, err := r.canonical(at.Host)
	if err != nil {
		return "", err
	}
	parts := authorization.FindStringSubmatch(headers["Authorization"])
	if parts == nil || parts[1] != region {
		return "", Refused.New("The request must be signed by Signature Version 4 for sts in the region of its host.")
	}
	signed := strings.Split(parts[2], ";")
	for _, name := range mustSign {
		if !slices.Contains(signed, name) {
			return "", Refused.New("The signature must cover the header %s.", name)
		}
	}
	given, server, _ := strings.Cut(headers[http.CanonicalHeaderKey(ChallengeHeader)], "@")
	if subtle.ConstantTimeCompare([]byte(given), []byte(challenge)) != 1 {
		return "", Refused.New("The signed request does not have the challenge that was asked for.")
	}
	if !slices.Contains(hosts, server) {
		return "", Refused.New("The request was signed for the control plane %q: name it in API_HOSTS if it is this one.",
			server)
	}
	return at.Host, nil
}

// regionOf is the region of a host of STS. The global host signs for us-east-1.
func regionOf(host string) (string, bool) {
	if host == "sts.amazonaws.com" {
		return "us-east-1", true
	}
	parts := stsHost.FindStringSubmatch(host)
	if parts == nil || strings.HasPrefix(parts[2], "cn-") != (parts[3] != "") {
		return "", false
	}
	return parts[2], true
}

func isGetCallerIdentity(body string) bool {
	form, err := url.ParseQuery(body)
	return err == nil && len(form) == 2 &&
		slices.Equal(form["Action"], []string{"GetCallerIdentity"}) &&
		slices.Equal(form["Version"], []string{"2011-06-15"})
}

// canonical are the headers by their usual names. A name that is there twice in different
// spellings, or that a request of this kind does not have, is refused: the judgement and
// STS must see the same request.
func (r *SignedRequest) canonical(host string) (map[string]string, error) {
	out := map[string]string{}
	for name, value := range r.Headers {
		name = http.CanonicalHeaderKey(name)
		if _, twice := out[name]; twice || !slices.Contains(relayed, name) {
			return nil, Refused.New("The signed request must not have the header %q, or not twice.", name)
		}
		if strings.ContainsAny(value, "\r\n") {
			return nil, Refused.New("The header %s has a line break.", name)
		}
		out[name] = value
	}
	if named, has := out["Host"]; has && named != host {
		return nil, Refused.New("The header Host must be that of the address.")
	}
	if kind, _, _ := strings.Cut(out["Content-Type"], ";"); kind != "application/x-www-form-urlencoded" {
		return nil, Refused.New("The signed request must be of the type application/x-www-form-urlencoded.")
	}
	return out, nil
}

// Caller is who STS says has signed a request.
type Caller struct {
	Account string
	ARN     string
}

var (
	assumedRole = regexp.MustCompile(`^arn:aws(?:-cn|-us-gov)?:sts::(\d{12}):assumed-role/([\w+=,.@-]{1,64})/([\w+=,.@-]{2,64})$`)
	instanceID  = regexp.MustCompile(`^i-[0-9a-f]{8,17}$`)
)

// Role is the role of the instance that signed. Fails with join.refused unless the caller
// is the role of the instance's own profile: EC2 names its sessions by the instance.
func (c Caller) Role(instance string) (string, error) {
	parts := assumedRole.FindStringSubmatch(c.ARN)
	switch {
	case parts == nil:
		return "", Refused.New("The request was signed by %s, which is not the role of an instance.", c.ARN)
	case parts[1] != c.Account:
		return "", Refused.New("STS names two accounts.")
	case !instanceID.MatchString(instance) || parts[3] != instance:
		return "", Refused.New("The request was signed by the session %q, not by the instance %q.", parts[3], instance)
	}
	return parts[2], nil
}
