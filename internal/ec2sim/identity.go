package ec2sim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// caller is who a request is from and what region it is for. The simulator
// reads the credential scope of the signature and does not verify the
// signature: every caller that reaches its address may use it.
type caller struct {
	account string
	key     string // access key id
	service string
	place   region

	role     string // of an instance, whose role has signed
	instance string
}

// identify reads "AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, ...".
func (s *Server) identify(r *http.Request) (caller, error) {
	who := caller{account: s.opts.Account}
	name := s.opts.Region
	if _, credential, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(credential, ",")
		if parts := strings.Split(credential, "/"); len(parts) == 5 {
			who.key, name, who.service = parts[0], parts[2], parts[3]
			if account, ok := accountOf(who.key); ok {
				who.account = account
			}
		}
	}
	place, ok := regionNamed(name)
	if !ok && (who.service == "sts" || who.service == "pricing") { // global services, signed for regions we do not have
		place, ok = regionNamed("us-east-1")
	}
	if !ok {
		return who, fail("AuthFailure", "There is no region %s here.", name)
	}
	who.place = place
	var err error
	who.role, who.instance, err = s.asInstance(r)
	return who, err
}

// sessionKey is the access key of the nth assumed role. Numbers go round.
func sessionKey(account string, n int) string { return fmt.Sprintf("ASIA%s%04X", account, n&0xffff) }

// refuseRevoked refuses a session that was revoked.
func (w *world) refuseRevoked(who caller) error {
	r, ok := w.set().Revoked[who.account]
	if !ok || !strings.HasPrefix(who.key, "ASIA") {
		return nil
	}
	if n, err := strconv.ParseInt(who.key[16:], 16, 32); err == nil && int(n) > r.UpTo {
		return nil
	}
	return fail(r.Code, "The session was revoked.")
}

func accountOf(key string) (string, bool) {
	if len(key) != 20 || key[:4] != "AKIA" && key[:4] != "ASIA" {
		return "", false
	}
	account := key[4:16]
	return account, isAccount(account)
}

func isAccount(account string) bool {
	return len(account) == 12 && strings.Trim(account, "0123456789") == ""
}
