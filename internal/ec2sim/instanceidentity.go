package ec2sim

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/smallstep/pkcs7"

	"spotkeeper/internal/ec2sim/client"
)

// tokenOfInstance begins the session tokens of instances' roles.
const tokenOfInstance = "SIMULATED-INSTANCE."

// roleOf is the role of an instance profile: the one of the same name. Empty: none.
func roleOf(profile string) string { return profile[strings.LastIndex(profile, "/")+1:] }

// secretOf is the secret key of an instance's role. It is as hard to guess as the one of AWS.
func (s *Server) secretOf(instanceID string) string {
	sum := hmac.New(sha256.New, s.secret)
	_, _ = sum.Write([]byte(instanceID)) // a hash never fails
	return hex.EncodeToString(sum.Sum(nil))[:40]
}

// roleTexts are the paths of the credentials of the instance's role.
func (s *Server) roleTexts(m client.Metadata, out map[string]string) {
	role := roleOf(m.Profile)
	if role == "" {
		return
	}
	const path = "meta-data/iam/security-credentials/"
	now := s.opts.Now() // AWS's clients compare it with the real clock
	out[path] = role
	out[path+role] = text(map[string]string{
		"Code":            "Success",
		"Type":            "AWS-HMAC",
		"LastUpdated":     now.UTC().Format(time.RFC3339),
		"AccessKeyId":     sessionKey(m.Account, 0xffff),
		"SecretAccessKey": s.secretOf(m.InstanceID),
		"Token":           tokenOfInstance + m.InstanceID,
		"Expiration":      now.Add(6 * time.Hour).UTC().Format(time.RFC3339),
	})
}

// asInstance says whose role has signed the request, for requests with an instance's token.
// Unlike that of others, the signature is verified: it is all that proves the instance.
func (s *Server) asInstance(r *http.Request) (role, instanceID string, err error) {
	id, is := strings.CutPrefix(r.Header.Get("X-Amz-Security-Token"), tokenOfInstance)
	if !is {
		return "", "", nil
	}
	s.mu.Lock()
	i, ok := s.world.instances.rows[id]
	alive := ok && i.state(s.world.now()) != terminated
	profile := ""
	if alive {
		profile = i.Profile
	}
	s.mu.Unlock()
	if !alive || roleOf(profile) == "" {
		return "", "", &apiError{"InvalidClientTokenId", "The security token included in the request is invalid.",
			http.StatusForbidden}
	}
	if !s.isSigned(r, id) {
		return "", "", &apiError{"SignatureDoesNotMatch",
			"The request signature we calculated does not match the signature you provided.", http.StatusForbidden}
	}
	return roleOf(profile), id, nil
}

// isSigned signs the request again, over the headers that it names, and compares.
func (s *Server) isSigned(r *http.Request, instanceID string) bool {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	at, bad := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	given := r.Header.Get("Authorization")
	_, names, named := strings.Cut(given, "SignedHeaders=")
	names, _, _ = strings.Cut(names, ",")
	scope := strings.Split(given, "/")
	if err != nil || bad != nil || !named || len(scope) < 4 || s.opts.Now().Sub(at).Abs() > 5*time.Minute {
		return false
	}
	again, err := http.NewRequestWithContext(r.Context(), r.Method, "https://"+r.Host+"/", bytes.NewReader(body))
	if err != nil {
		return false
	}
	for name := range strings.SplitSeq(names, ";") {
		if name != "host" && name != "content-length" {
			again.Header.Set(name, r.Header.Get(name))
		}
	}
	sum := sha256.Sum256(body)
	key, _, _ := strings.Cut(strings.TrimPrefix(given, "AWS4-HMAC-SHA256 Credential="), "/")
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{
		AccessKeyID:     key,
		SecretAccessKey: s.secretOf(instanceID),
		SessionToken:    r.Header.Get("X-Amz-Security-Token"),
	}, again, hex.EncodeToString(sum[:]), scope[3], scope[2], at)
	return err == nil && subtle.ConstantTimeCompare([]byte(again.Header.Get("Authorization")), []byte(given)) == 1
}

// identityKey signs the identity documents of all simulators of the process.
var identityKey = sync.OnceValues(func() (*identitySigner, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{Country: []string{"US"}, Organization: []string{"Simulated Web Services"}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &identitySigner{key, certificate}, err
})

type identitySigner struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// IdentityCertificate is the certificate, in PEM, that the identity documents of this
// process's simulators are signed by, in place of AWS's.
func IdentityCertificate() ([]byte, error) {
	signer, err := identityKey()
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signer.certificate.Raw}), nil
}

func (s *Server) getIdentityCertificate(w http.ResponseWriter, _ *http.Request) {
	content, err := IdentityCertificate()
	writeJSON(w, client.IdentityCertificate{PEM: string(content)}, err)
}

// signDocument is a document within its signature: PKCS #7 in base64
// lines.
func signDocument(document string) (string, error) {
	signer, err := identityKey()
	if err != nil {
		return "", err
	}
	message, err := pkcs7.NewSignedData([]byte(document))
	if err != nil {
		return "", err
	}
	message.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	if err := message.AddSigner(signer.certificate, signer.key, pkcs7.SignerInfoConfig{}); err != nil {
		return "", err
	}
	der, err := message.Finish()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for encoded := base64.StdEncoding.EncodeToString(der); encoded != ""; {
		n := min(64, len(encoded))
		out.WriteString(encoded[:n] + "\n")
		encoded = encoded[n:]
	}
	return out.String(), nil
}
