package approval

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strings"
)

// LinkPath begins the path of the page on which the bearer of a link answers.
const LinkPath = "/answer/"

// Links sign and check links with which a person answers one question without a login. A link
// belongs to the webhook that it was sent to, and ends with that and with the question.
type Links struct {
	Base string   // address of the api as browsers reach it; empty: no links are made
	Keys [][]byte // of the deployment; the first signs, all are accepted
}

// URL is the link for a question that is sent to a sink; empty: none can be made.
func (l Links) URL(approvalID, sinkID string) string {
	if l.Base == "" || len(l.Keys) == 0 {
		return ""
	}
	q := url.Values{"sink": {sinkID}, "token": {sign(l.Keys[0], approvalID, sinkID)}}
	return strings.TrimSuffix(l.Base, "/") + LinkPath + url.PathEscape(approvalID) + "?" + q.Encode()
}

// Check refuses a link that this deployment has not signed. Fails with approval.bad_link.
func (l Links) Check(approvalID, sinkID, token string) error {
	for _, key := range l.Keys {
		if token != "" && hmac.Equal([]byte(token), []byte(sign(key, approvalID, sinkID))) {
			return nil
		}
	}
	return BadLink.New("This link is not valid. Answer in the console, or with spotkeeper approvals.")
}

func sign(key []byte, approvalID, sinkID string) string {
	own, err := hkdf.Key(sha256.New, key, nil, "spotkeeper approval links", sha256.Size)
	if err != nil {
		return "" // only a hash without strength fails
	}
	mac := hmac.New(sha256.New, own)
	_, _ = mac.Write([]byte(approvalID + "\n" + sinkID)) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
