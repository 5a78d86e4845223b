package joining_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/smallstep/pkcs7"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/joining"
)

const (
	challenge = "d2hvIGFyZSB5b3UsIGFuZCB3aG8gc2F5cyBzbz8hISE"
	instance  = "i-0aaa1111bbbb2222c"
)

var ours = []string{"10.0.0.1", "control.example.com"}

func signed() joining.SignedRequest {
	return joining.SignedRequest{
		Method: "POST",
		URL:    "https://sts.eu-west-1.amazonaws.com/",
		Headers: map[string]string{
			"Authorization": "AWS4-HMAC-SHA256 Credential=ASIAEXAMPLEEXAMPLE01/20261129/eu-west-1/sts/aws4_request, " +
				"SignedHeaders=content-length;content-type;host;x-amz-date;x-amz-security-token;x-spotkeeper-challenge, " +
				"Signature=" + strings.Repeat("0f", 32),
			"Content-Type":           "application/x-www-form-urlencoded",
			"X-Amz-Date":             "20261129T120000Z",
			"X-Amz-Security-Token":   "token",
			"X-Spotkeeper-Challenge": joining.Answer(challenge, "Control.example.com"),
		},
		Body: "Action=GetCallerIdentity&Version=2011-06-15",
	}
}

func TestWhatASignedRequestMayBe(t *testing.T) {
	t.Parallel()
	host, err := (func() *joining.SignedRequest { r := signed(); return &r }()).Judge(challenge, ours)
	require.NoError(t, err)
	require.Equal(t, "sts.eu-west-1.amazonaws.com", host)
	header := func(name, value string) func(*joining.SignedRequest) {
		return func(r *joining.SignedRequest) { r.Headers[name] = value }
	}
	replace := func(old, by string) func(*joining.SignedRequest) {
		return func(r *joining.SignedRequest) {
			r.Headers["Authorization"] = strings.Replace(r.Headers["Authorization"], old, by, 1)
		}
	}
	address := func(to string) func(*joining.SignedRequest) {
		return func(r *joining.SignedRequest) { r.URL = to }
	}
	body := func(to string) func(*joining.SignedRequest) {
		return func(r *joining.SignedRequest) { r.Body = to }
	}
	for name, change := range map[string]func(*joining.SignedRequest){
		"another method":              func(r *joining.SignedRequest) { r.Method = "GET" },
		"another host":                address("https://attacker.example.com/"),
		"a host that begins like STS": address("https://sts.eu-west-1.amazonaws.com.attacker.example/"),
		"a host that ends like STS":   address("https://attacker-sts.eu-west-1.amazonaws.com/"),
		"another service":             address("https://s3.eu-west-1.amazonaws.com/"),
		"no TLS":                      address("http://sts.eu-west-1.amazonaws.com/"),
		"a user":                      address("https://sts.eu-west-1.amazonaws.com@attacker.example/"),
		"a user before STS":           address("https://a:b@sts.eu-west-1.amazonaws.com/"),
		"a port":                      address("https://sts.eu-west-1.amazonaws.com:8443/"),
		"a path":                      address("https://sts.eu-west-1.amazonaws.com/x"),
		"a query":                     address("https://sts.eu-west-1.amazonaws.com/?Action=AssumeRole"),
		"an empty query":              address("https://sts.eu-west-1.amazonaws.com/?"),
		"a fragment":                  address("https://sts.eu-west-1.amazonaws.com/#x"),
		"another region's partition":  address("https://sts.eu-west-1.amazonaws.com.cn/"),
		"another region":              address("https://sts.eu-west-2.amazonaws.com/"),
		"another action":              body("Action=AssumeRole&Version=2011-06-15"),
		"two actions":                 body("Action=GetCallerIdentity&Action=AssumeRole&Version=2011-06-15"),
		"a parameter more":            body("Action=GetCallerIdentity&Version=2011-06-15&X=1"),
		"another version":             body("Action=GetCallerIdentity&Version=2012-01-01"),
		"no body":                     body(""),
		"no signature":                header("Authorization", ""),
		"a bearer":                    header("Authorization", "Bearer x"),
		"another service's signature": replace("/sts/", "/s3/"),
		"another region's signature":  replace("eu-west-1", "us-east-1"),
		"the challenge not signed":    replace(";x-spotkeeper-challenge", ""),
		"the host not signed":         replace("host;", ""),
		"the date not signed":         replace("x-amz-date;", ""),
		"the token not signed":        replace("x-amz-security-token;", ""),
		"another challenge":           header("X-Spotkeeper-Challenge", joining.Answer("x", "control.example.com")),
		"no control plane":            header("X-Spotkeeper-Challenge", challenge),
		"another control plane":       header("X-Spotkeeper-Challenge", joining.Answer(challenge, "attacker.example.com")),
		"two control planes": header("X-Spotkeeper-Challenge",
			joining.Answer(challenge, "attacker.example.com@control.example.com")),
		"no challenge":   func(r *joining.SignedRequest) { delete(r.Headers, "X-Spotkeeper-Challenge") },
		"two challenges": header("x-spotkeeper-challenge", joining.Answer(challenge, "control.example.com")),
		"a header more":  header("X-Amz-Target", "x"),
		"a host header":  header("Host", "attacker.example.com"),
		"a line break":   header("X-Amz-Date", "20261129T120000Z\r\nX-Evil: 1"),
		"another type":   header("Content-Type", "application/json"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := signed()
			r.Headers = maps.Clone(r.Headers)
			change(&r)
			_, err := r.Judge(challenge, ours)
			require.True(t, fault.Is(err, joining.Refused), "%v", err)
		})
	}
}

func TestHostsOfSTS(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ host, region string }{
		{"sts.amazonaws.com", "us-east-1"}, {"sts.us-gov-west-1.amazonaws.com", "us-gov-west-1"},
		{"sts.cn-north-1.amazonaws.com.cn", "cn-north-1"}, {"sts-fips.us-east-2.amazonaws.com", "us-east-2"},
	} {
		r := signed()
		r.URL = "https://" + tc.host
		r.Headers["Authorization"] = strings.Replace(r.Headers["Authorization"], "eu-west-1", tc.region, 1)
		got, err := r.Judge(challenge, ours)
		require.NoError(t, err, tc.host)
		require.Equal(t, tc.host, got)
	}
}

func TestWhoMayHaveSigned(t *testing.T) {
	t.Parallel()
	const account = "111122223333"
	role, err := joining.Caller{account, "arn:aws:sts::" + account + ":assumed-role/web-box/" + instance}.Role(instance)
	require.NoError(t, err)
	require.Equal(t, "web-box", role)
	for name, tc := range map[string]struct{ arn, instance string }{
		"a user":                {"arn:aws:iam::" + account + ":user/eve", instance},
		"the root":              {"arn:aws:iam::" + account + ":root", instance},
		"another instance":      {"arn:aws:sts::" + account + ":assumed-role/web-box/i-0bbb1111bbbb2222c", instance},
		"a person's session":    {"arn:aws:sts::" + account + ":assumed-role/web-box/eve", "eve"},
		"another account's ARN": {"arn:aws:sts::444455556666:assumed-role/web-box/" + instance, instance},
		"a federated user":      {"arn:aws:sts::" + account + ":federated-user/" + instance, instance},
		"a longer session":      {"arn:aws:sts::" + account + ":assumed-role/web-box/x/" + instance, instance},
	} {
		_, err := joining.Caller{account, tc.arn}.Role(tc.instance)
		require.True(t, fault.Is(err, joining.Refused), name)
	}
}

func TestWhichClientIsJoined(t *testing.T) {
	t.Parallel()
	web := joining.Candidate{ClientID: "c1", Rules: joining.Rules{Roles: []string{"web-box"}}}
	also := joining.Candidate{ClientID: "c2", Rules: joining.Rules{Roles: []string{"db-box", "web-box"}}}
	allows := func(r joining.Rules) bool { return r.Allows("web-box") }
	got, err := joining.Choose([]joining.Candidate{web}, "", allows)
	require.NoError(t, err)
	require.Equal(t, "c1", got.ClientID)
	_, err = joining.Choose([]joining.Candidate{web, also}, "", allows)
	require.True(t, fault.Is(err, joining.Ambiguous))
	got, err = joining.Choose([]joining.Candidate{web, also}, "c2", allows)
	require.NoError(t, err)
	require.Equal(t, "c2", got.ClientID)
	for _, from := range [][]joining.Candidate{nil, {{ClientID: "c1"}}, {also}} {
		_, err = joining.Choose(from, "c1", allows)
		require.True(t, fault.Is(err, joining.NotListed))
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	r := joining.Rules{Roles: []string{"b", "a", "b"}}
	require.NoError(t, r.Normalize())
	require.Equal(t, []string{"a", "b"}, r.Roles)
	for _, bad := range []string{"", "*", "arn:aws:iam::1:role/x", "a/b", strings.Repeat("x", 65)} {
		require.True(t, fault.Is((&joining.Rules{Roles: []string{bad}}).Normalize(), joining.BadRules), bad)
	}
	require.Error(t, (&joining.Rules{Roles: make([]string, 51)}).Normalize())
}

// TestEmbeddedCertificates: each is whole, for it has signed itself.
func TestEmbeddedCertificates(t *testing.T) {
	t.Parallel()
	all, err := joining.EmbeddedCertificates()
	require.NoError(t, err)
	require.Subset(t, slices.Collect(maps.Keys(all)), []string{"us-east-1", "us-east-2", "us-west-2", "eu-central-1",
		"eu-west-1", "ap-northeast-1", "ap-southeast-1", "ap-southeast-2", "sa-east-1"})
	serials := map[string]string{}
	for region, c := range all {
		require.Empty(t, serials[c.SerialNumber.String()], "%s has the certificate of another region", region)
		serials[c.SerialNumber.String()] = region
		require.NoError(t, c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature), region)
		require.True(t, c.NotAfter.After(time.Date(2190, 1, 1, 0, 0, 0, 0, time.UTC)), region)
		require.Contains(t, c.Subject.String(), "Amazon Web Services LLC", region)
	}
	_, err = joining.ReadCertificates(fstest.MapFS{"eu-west-1.pem": {Data: []byte("x")}})
	require.ErrorContains(t, err, "eu-west-1.pem")
}

type signer struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "AWS"},
		NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return signer{key, cert}
}

func (s signer) sign(t *testing.T, document string, sha256 bool) string {
	t.Helper()
	message, err := pkcs7.NewSignedData([]byte(document))
	require.NoError(t, err)
	if sha256 {
		message.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
	}
	require.NoError(t, message.AddSigner(s.cert, s.key, pkcs7.SignerInfoConfig{}))
	der, err := message.Finish()
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(der)
}

func document(region, id string) string {
	return fmt.Sprintf(`{"accountId":"111122223333","instanceId":%q,"region":%q,"pendingTime":"2026-11-29T12:00:00Z"}`,
		id, region)
}

func TestWhoseSignatureADocumentHas(t *testing.T) {
	t.Parallel()
	real, eve := newSigner(t), newSigner(t)
	known := joining.Certificates{"eu-west-1": real.cert}
	good := real.sign(t, document("eu-west-1", instance), true)
	d, err := known.Open(good[:60] + "\n" + good[60:])
	require.NoError(t, err)
	require.Equal(t, joining.Document{AccountID: "111122223333", InstanceID: instance, Region: "eu-west-1",
		PendingTime: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}, d)
	der, err := base64.StdEncoding.DecodeString(good)
	require.NoError(t, err)
	at := strings.Index(string(der), instance)
	changed := []byte(string(der[:at]) + "i-0bbb1111bbbb2222c" + string(der[at+len(instance):]))
	for name, signature := range map[string]string{
		"signed by another, who brings a certificate": eve.sign(t, document("eu-west-1", instance), true),
		"changed afterwards":                          base64.StdEncoding.EncodeToString(changed),
		"by SHA-1":                                    real.sign(t, document("eu-west-1", instance), false),
		"of an unknown region":                        real.sign(t, document("mars-1", instance), true),
		"not an instance":                             real.sign(t, document("eu-west-1", "x"), true),
		"not a document":                              real.sign(t, "[]", true),
		"not base64":                                  "!",
		"nothing":                                     "",
		"cut":                                         good[:len(good)/2/4*4],
	} {
		_, err := known.Open(signature)
		require.True(t, fault.Is(err, joining.Refused), "%s: %v", name, err)
	}
}

func TestHowOldADocumentMayBe(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	d := joining.Document{InstanceID: instance, PendingTime: start}
	require.NoError(t, d.Judge(instance, start.Add(5*time.Minute)))
	require.NoError(t, d.Judge(instance, start.Add(-time.Minute)))
	for _, at := range []time.Time{start.Add(5*time.Minute + time.Second), start.Add(-61 * time.Second)} {
		require.True(t, fault.Is(d.Judge(instance, at), joining.Refused))
	}
	require.True(t, fault.Is(d.Judge("i-0bbb1111bbbb2222c", start), joining.Refused))
}

// FuzzOpen: no message makes it panic, and none without the key is believed.
func FuzzOpen(f *testing.F) {
	f.Add("MIIB")
	f.Add("")
	all, err := joining.EmbeddedCertificates()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, signature string) {
		_, err := all.Open(signature)
		require.Error(t, err)
	})
}
