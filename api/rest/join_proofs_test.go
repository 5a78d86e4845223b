package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/callerid"
	proofs "spotkeeper/internal/domain/joining"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

const joinAccount = "111122223333"

// playedRunning is EC2, which shows some instances as running.
type playedRunning map[string]bool

func (p playedRunning) Running(_ context.Context, _, _, id string) (bool, error) { return p[id], nil }

// joinStack is the api and the agent's own client, with simulated instances whose roles
// sign and whose STS verifies.
type joinStack struct {
	*stack

	sim     *httptest.Server
	ec2     *ec2.Client
	api     *httptest.Server
	plane   *controlplane.Client
	running playedRunning
}

func newJoinStack(t *testing.T) *joinStack {
	t.Helper()
	s := &joinStack{stack: newStack(t), running: playedRunning{}}
	world := ec2sim.New(ec2sim.Options{Now: time.Now})
	s.sim = httptest.NewServer(world)
	t.Cleanup(func() {
		s.sim.Close()
		require.NoError(t, world.Close())
	})
	pem, err := ec2sim.IdentityCertificate()
	require.NoError(t, err)
	certificates, err := proofs.ReadCertificates(fstest.MapFS{"us-east-1.pem": {Data: pem}})
	require.NoError(t, err)
	s.joiner.STS, s.joiner.Cloud, s.joiner.Certificates = callerid.New(s.sim.URL), s.running, certificates
	s.joiner.Hosts = []string{"127.0.0.1"}
	s.ec2 = ec2.New(ec2.Options{Region: "us-east-1", BaseEndpoint: aws.String(s.sim.URL), HTTPClient: s.sim.Client(),
		Credentials: awscredentials.NewStaticCredentialsProvider(simclient.AccessKey(joinAccount), "secret", "")})
	s.api = httptest.NewServer(s.handler)
	t.Cleanup(s.api.Close)
	s.plane, err = controlplane.New(controlplane.Options{
		Base:       s.api.URL,
		Credential: func(string) (string, error) { return "", nil },
	})
	require.NoError(t, err)
	t.Cleanup(s.plane.Close)
	s.exec(`UPDATE clients SET account_id = '` + joinAccount + `' WHERE id = 'c1'`)
	return s
}

// machine launches an instance with a profile and returns its metadata service.
func (s *joinStack) machine(profile string) (string, *imds.Client) {
	s.t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId:      aws.String(simclient.PublicImage("us-east-1", "x86_64")),
		InstanceType: "t3.medium",
		MinCount:     aws.Int32(1),
		MaxCount:     aws.Int32(1),
		Placement:    &types.Placement{AvailabilityZone: aws.String("us-east-1a")},
	}
	if profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(profile)}
	}
	made, err := s.ec2.RunInstances(s.t.Context(), in)
	require.NoError(s.t, err)
	id := *made.Instances[0].InstanceId
	meta := imds.New(imds.Options{Endpoint: s.sim.URL + "/_sim/imds/" + id})
	s.t.Cleanup(meta.Close)
	return id, meta
}

func registrationOf(id, name string) controlplane.Registration {
	return controlplane.Registration{LogicalID: name, InstanceID: id, InstanceType: "t3.medium", Region: "us-east-1",
		AZ: "us-east-1a", Mode: "spot", Version: "5.0.0"}
}

func (s *joinStack) byRole(meta *imds.Client, r controlplane.Registration, client string) (controlplane.Joined, error) {
	s.t.Helper()
	role, err := meta.RoleCredentials(s.t.Context())
	require.NoError(s.t, err)
	return s.plane.JoinByRole(s.t.Context(), r, client, controlplane.Signer{AccessKeyID: role.AccessKeyID,
		Secret: role.Secret, Token: role.Token, Region: "us-east-1", Domain: "amazonaws.com", Now: role.Now})
}

func refusedWith(t *testing.T, err error, code string) {
	t.Helper()
	var r *controlplane.Refusal
	require.ErrorAs(t, err, &r)
	require.Equal(t, code, r.Code, r.Text)
}

func (s *joinStack) rules(t *testing.T, body string) {
	t.Helper()
	s.call(operatorToken, "PUT", "/api/client/c1/join-rules", body).holds(t, 200, body)
	s.call(operatorToken, "GET", "/api/client/c1/join-rules", "").holds(t, 200, body)
}

func TestAnInstanceJoinsByItsRole(t *testing.T) {
	t.Parallel()
	s := newJoinStack(t)
	id, meta := s.machine("web-box")
	_, err := s.byRole(meta, registrationOf(id, "web-9"), "")
	refusedWith(t, err, "join.not_listed")
	s.rules(t, `{"roles":["web-box"],"identity_documents":false}`)
	got, err := s.byRole(meta, registrationOf(id, "web-9"), "")
	require.NoError(t, err)
	require.Equal(t, "c1", got.ClientID)
	s.call(got.Token.Token, "POST", "/api/agents/"+got.AgentID+"/heartbeat",
		`{"status":"online","instance_id":"`+id+`"}`).holds(t, 200, `{"success":true}`)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), got.ExpiresAt, 5*time.Minute)
	require.WithinDuration(t, time.Now().Add(16*time.Hour+5*time.Minute), got.RenewAfter, 5*time.Minute)

	// Time passes: the first heartbeat after two thirds of the token's life brings the next.
	s.exec(`UPDATE credentials SET created_at = created_at - interval '16 hours 6 minutes',
		expires_at = expires_at - interval '16 hours 6 minutes' WHERE kind = 'agent'`)
	next := s.call(got.Token.Token, "POST", "/api/agents/"+got.AgentID+"/heartbeat",
		`{"status":"online","instance_id":"`+id+`"}`)
	require.True(t, strings.HasPrefix(next.body["token"].(string), "spk-agent-"), next.raw)

	t.Run("another's", func(t *testing.T) {
		other, _ := s.machine("web-box")
		_, err := s.byRole(meta, registrationOf(other, "web-8"), "")
		refusedWith(t, err, "join.refused")
		_, err = s.byRole(meta, registrationOf(id, "web-9"), "c2")
		refusedWith(t, err, "join.not_listed")
	})
	t.Run("another role", func(t *testing.T) {
		other, of := s.machine("db-box")
		_, err := s.byRole(of, registrationOf(other, "db"), "")
		refusedWith(t, err, "join.not_listed")
	})
	t.Run("no role", func(t *testing.T) {
		_, of := s.machine("")
		_, err := of.RoleCredentials(t.Context())
		require.ErrorIs(t, err, imds.ErrNoRole)
	})
	t.Run("a forged signature", func(t *testing.T) {
		role, err := meta.RoleCredentials(t.Context())
		require.NoError(t, err)
		_, err = s.plane.JoinByRole(t.Context(), registrationOf(id, "web-9"), "", controlplane.Signer{
			AccessKeyID: role.AccessKeyID, Secret: "guess", Token: role.Token, Region: "us-east-1",
			Domain: "amazonaws.com", Now: role.Now})
		refusedWith(t, err, "join.refused")
	})
	t.Run("a clock that is an hour wrong", func(t *testing.T) {
		role, err := meta.RoleCredentials(t.Context())
		require.NoError(t, err)
		_, err = s.plane.JoinByRole(t.Context(), registrationOf(id, "web-9"), "", controlplane.Signer{
			AccessKeyID: role.AccessKeyID, Secret: role.Secret, Token: role.Token, Region: "us-east-1",
			Domain: "amazonaws.com", Now: role.Now.Add(time.Hour)})
		refusedWith(t, err, "join.refused")
	})
	t.Run("a revoked token", func(t *testing.T) {
		s.exec(`UPDATE credentials SET revoked_at = now() WHERE kind = 'agent' AND instance_id = '` + id + `'`)
		_, err := s.byRole(meta, registrationOf(id, "web-9"), "")
		refusedWith(t, err, "join.refused")
	})
}

// challengeOf asks for a challenge.
func (s *joinStack) challengeOf() string {
	s.t.Helper()
	got := s.call("", "POST", "/api/agents/join/challenge", "")
	require.Equal(s.t, 201, got.status, got.raw)
	return got.body["challenge"].(string)
}

// relay answers the agent's challenge request with one challenge each time, and keeps what
// the agent sends.
func (s *joinStack) relay(challenge string) (*controlplane.Client, *[]byte) {
	s.t.Helper()
	kept := new([]byte)
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if strings.HasSuffix(r.URL.Path, "/challenge") {
			_, _ = w.Write([]byte(`{"challenge":"` + challenge + `"}`))
			return
		}
		content := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(content)
		*kept = content
		_, _ = w.Write([]byte(`{"token":"x"}`))
	}))
	s.t.Cleanup(between.Close)
	plane, err := controlplane.New(controlplane.Options{
		Base:       between.URL,
		Credential: func(string) (string, error) { return "", nil },
	})
	require.NoError(s.t, err)
	s.t.Cleanup(plane.Close)
	return plane, kept
}

func TestAChallengeIsGoodOnceAndForAMinute(t *testing.T) {
	t.Parallel()
	s := newJoinStack(t)
	s.rules(t, `{"roles":["web-box"],"identity_documents":false}`)
	id, meta := s.machine("web-box")
	role, err := meta.RoleCredentials(t.Context())
	require.NoError(t, err)
	sign := func(challenge string) string {
		plane, kept := s.relay(challenge)
		_, err := plane.JoinByRole(t.Context(), registrationOf(id, "web-9"), "", controlplane.Signer{
			AccessKeyID: role.AccessKeyID, Secret: role.Secret, Token: role.Token, Region: "us-east-1",
			Domain: "amazonaws.com", Now: role.Now})
		require.NoError(t, err)
		return string(*kept)
	}
	challenge := s.challengeOf()
	body := sign(challenge)
	// What is between is another server, which passes the challenge on. It may choose the
	// header Host, so that header does not say what the control plane's own name is.
	passOn := func(to http.Handler) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/agents/join/aws-iam", strings.NewReader(body))
		r.Host = "127.0.0.1"
		rec := httptest.NewRecorder()
		to.ServeHTTP(rec, r)
		require.Equal(t, 401, rec.Code, rec.Body.String())
		return rec
	}
	for _, own := range [][]string{nil, {"control.example.com"}} {
		s.joiner.Hosts = own
		require.Contains(t, passOn(s.handler).Body.String(), "API_HOSTS")
	}
	s.joiner.Hosts = []string{"127.0.0.1"}
	require.Equal(t, 201, s.call("", "POST", "/api/agents/join/aws-iam", body).status)
	s.call("", "POST", "/api/agents/join/aws-iam", body).holds(t, 401, `{"code":"join.stale_challenge"}`)
	other := s.another(t, nil) // another process of the api
	require.Contains(t, passOn(other).Body.String(), "join.stale_challenge")
	s.call("", "POST", "/api/agents/join/aws-iam", sign("AAAA")).holds(t, 401, `{"code":"join.stale_challenge"}`)

	late := s.challengeOf()
	body = sign(late)
	s.exec(`UPDATE join_challenges SET expires_at = now() - interval '1 second'`)
	s.call("", "POST", "/api/agents/join/aws-iam", body).holds(t, 401, `{"code":"join.stale_challenge"}`)
	s.challengeOf()
	require.Equal(t, "1", s.value(`SELECT count(*)::text FROM join_challenges`), "old ones go")

	// A request that was signed for one challenge is no answer to another.
	mixed := strings.Replace(sign(s.challengeOf()), `"challenge":"`, `"challenge":"`+s.challengeOf()[:4], 1)
	s.call("", "POST", "/api/agents/join/aws-iam", mixed).holds(t, 401, `{"code":"join.refused"}`)

	s.exec(`INSERT INTO join_challenges (hash, address, expires_at)
		SELECT sha256(n::text::bytea), '192.0.2.1', now() + interval '1 minute' FROM generate_series(1, 1000) n`)
	s.call("", "POST", "/api/agents/join/challenge", "").holds(t, 401, `{"code":"join.refused"}`)
	s.from = "192.0.2.9:1"
	s.challengeOf()
}

func TestAnInstanceJoinsByItsDocument(t *testing.T) {
	t.Parallel()
	s := newJoinStack(t)
	id, meta := s.machine("")
	signature, err := meta.IdentityDocument(t.Context())
	require.NoError(t, err)
	attempt := strings.Repeat("a", 52)
	join := func(r controlplane.Registration, attempt string) (controlplane.Joined, error) {
		return s.plane.JoinByDocument(t.Context(), r, "", signature, attempt)
	}
	_, err = join(registrationOf(id, "web-9"), attempt)
	refusedWith(t, err, "join.not_listed")
	s.rules(t, `{"roles":[],"identity_documents":true}`)
	_, err = join(registrationOf(id, "web-9"), attempt)
	refusedWith(t, err, "join.refused")
	s.running[id] = true
	first, err := join(registrationOf(id, "web-9"), attempt)
	require.NoError(t, err)
	again, err := join(registrationOf(id, "web-9"), attempt)
	require.NoError(t, err, "the answer may have got lost")
	require.NotEqual(t, first.Token.Token, again.Token.Token)
	require.Equal(t, "c1", s.value(`SELECT client_id FROM join_documents`), "it proves whose the instance is")
	_, err = join(registrationOf(id, "web-9"), strings.Repeat("b", 52))
	refusedWith(t, err, "join.document_used")
	_, err = join(registrationOf("i-0bbb1111bbbb2222c", "web-9"), attempt)
	refusedWith(t, err, "join.refused")

	s.joiner.Now = func() time.Time { return time.Now().Add(6 * time.Minute) }
	_, err = join(registrationOf(id, "web-9"), attempt)
	refusedWith(t, err, "join.refused")
	s.joiner.Now = time.Now
	s.exec(`UPDATE instances SET role = 'retired' WHERE id = '` + id + `'`)
	_, err = join(registrationOf(id, "web-9"), attempt)
	refusedWith(t, err, "join.refused")
}

// TestALaunchIsTheWitness: of an instance that we launched no one else has to say that it
// runs, and it joins for its own agent alone.
func TestALaunchIsTheWitness(t *testing.T) {
	t.Parallel()
	s := newJoinStack(t)
	s.rules(t, `{"roles":[],"identity_documents":true}`)
	id, meta := s.machine("")
	s.exec(`INSERT INTO replicas (id, client_id, agent_id, kind, made_for, state, launcher)
		VALUES ('r-9', 'c1', 'a1', 'manual', 'i-1', 'launching', 'control-plane')`)
	s.exec(`INSERT INTO launches (client_token, client_id, agent_id, replica_id, pool_id, mode, request, state, instance_id)
		VALUES ('t-9', 'c1', 'a1', 'r-9', 't3.medium.us-east-1a', 'spot', '{}', 'launched', '` + id + `')`)
	signature, err := meta.IdentityDocument(t.Context())
	require.NoError(t, err)
	_, err = s.plane.JoinByDocument(t.Context(), registrationOf(id, "web-2"), "", signature, strings.Repeat("a", 52))
	refusedWith(t, err, "join.refused")
	got, err := s.plane.JoinByDocument(t.Context(), registrationOf(id, "web-1"), "", signature, strings.Repeat("a", 52))
	require.NoError(t, err)
	require.Equal(t, "a1", got.AgentID)
}

// TestChallengesAreCountedByMachine: one machine has all addresses of its /64, and gets no more
// challenges for it. Others get theirs.
func TestChallengesAreCountedByMachine(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.exec(`INSERT INTO join_challenges (hash, address, expires_at)
		SELECT sha256(n::text::bytea), '2001:db8:1:2::/64', now() + interval '1 minute' FROM generate_series(1, 995) n`)
	ask := func(address string) int {
		s.from = address
		return s.call("", "POST", "/api/agents/join/challenge", "").status
	}
	statuses := map[int]int{}
	for n := range 10 {
		statuses[ask(fmt.Sprintf("[2001:db8:1:2::%x]:1234", n))]++
	}
	require.Equal(t, map[int]int{201: 5, 401: 5}, statuses)
	require.Equal(t, 201, ask("[2001:db8:1:3::1]:1234"))
	require.Equal(t, 201, ask("192.0.2.1:1234"))
}
