package joining

import (
	"crypto/rsa"
	"crypto/x509"
	"embed"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
)

// Document is an instance identity document,
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html.
type Document struct {
	AccountID   string    `json:"accountId"`
	InstanceID  string    `json:"instanceId"`
	Region      string    `json:"region"`
	PendingTime time.Time `json:"pendingTime"` // when the instance was started last
}

//go:embed certificates/*.pem
var embedded embed.FS

// Certificates are AWS's RSA-2048 certificates by region.
type Certificates map[string]*x509.Certificate

// EmbeddedCertificates are those that are part of the program,
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/regions-certs.html.
func EmbeddedCertificates() (Certificates, error) {
	in, err := fs.Sub(embedded, "certificates")
	if err != nil {
		return nil, err
	}
	return ReadCertificates(in)
}

// ReadCertificates reads files <region>.pem with one RSA certificate of at least 2048 bits
// each.
func ReadCertificates(in fs.FS) (Certificates, error) {
	names, err := fs.Glob(in, "*.pem")
	if err != nil {
		return nil, err
	}
	out := Certificates{}
	for _, name := range names {
		content, err := fs.ReadFile(in, name)
		if err != nil {
			return nil, err
		}
		block, _ := pem.Decode(content)
		if block == nil {
			return nil, fmt.Errorf("%s has no certificate", name)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		key, isRSA := cert.PublicKey.(*rsa.PublicKey)
		if !isRSA || key.N.BitLen() < 2048 {
			return nil, fmt.Errorf("%s is not the RSA-2048 certificate of a region", name)
		}
		out[strings.TrimSuffix(path.Base(name), ".pem")] = cert
	}
	return out, nil
}

// With are these certificates and others, which replace those of the same region.
func (c Certificates) With(others Certificates) Certificates {
	out := maps.Clone(c)
	maps.Copy(out, others)
	return out
}

var (
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	account   = regexp.MustCompile(`^\d{12}$`)
)

// Open reads a document out of its signature: PKCS #7 in base64, as the metadata service
// answers it at dynamic/instance-identity/rsa2048. Fails with join.refused unless the
// certificate of the document's region has signed it.
func (c Certificates) Open(signature string) (Document, error) {
	var d Document
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(signature), ""))
	if err != nil {
		return d, Refused.Wrap(err, "The signature of the identity document is not base64.")
	}
	signed, err := parsePKCS7(der)
	if err != nil || len(signed.Signers) != 1 || !signed.Signers[0].DigestAlgorithm.Algorithm.Equal(oidSHA256) {
		return d, Refused.Wrap(err, "The identity document must have one signature by RSA-2048 and SHA-256.")
	}
	var said Document
	if err := json.Unmarshal(signed.Content, &said); err != nil {
		return d, Refused.Wrap(err, "The identity document cannot be read.")
	}
	cert, known := c[said.Region]
	if !known {
		return d, Refused.New("The certificate of the region %q is not known here: "+
			"add it to JOIN_CERTIFICATES, or join by aws-iam.", said.Region)
	}
	// What the message brings along proves nothing.
	signed.Certificates = []*x509.Certificate{cert}
	if err := signed.Verify(); err != nil {
		return d, Refused.Wrap(err, "The identity document is not signed by AWS.")
	}
	if !account.MatchString(said.AccountID) || !instanceID.MatchString(said.InstanceID) {
		return d, Refused.New("The identity document names no account or no instance.")
	}
	return said, nil
}

// parsePKCS7 turns the panic of a message that is cut in an unlucky place into an error.
func parsePKCS7(der []byte) (out *pkcs7.PKCS7, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("the message is damaged: %v", r)
		}
	}()
	return pkcs7.Parse(der)
}

// Judge says whether the instance has just been started. Fails with join.refused.
func (d Document) Judge(instance string, now time.Time) error {
	switch age := now.Sub(d.PendingTime); {
	case d.InstanceID != instance:
		return Refused.New("The identity document is that of %s, not of %q.", d.InstanceID, instance)
	case age > DocumentTTL || age < -clockSkew:
		return Refused.New("The identity document must be younger than %d minutes, and this instance was started at %s: "+
			"start the agent at boot, join by aws-iam, or use an enrolment token.", int(DocumentTTL.Minutes()),
			d.PendingTime.UTC().Format(time.RFC3339))
	}
	return nil
}
