package iac_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/iam"
)

// profileRoles says which role an instance profile of the tests has.
var profileRoles = map[string]string{
	"arn:aws:iam::" + tenantAccount + ":instance-profile/web": "arn:aws:iam::" + tenantAccount + ":role/spotkeeper/web",
}

// gate stands before the simulator and asks IAM first, as AWS does: of each call it makes
// the requests that IAM decides on, and a call of which one is not allowed is refused.
type gate struct {
	next    http.Handler
	base    []iam.Policy // of the control plane's role
	baseARN string
	tenant  role
	tags    func(instanceID string) map[string]string

	mu       sync.Mutex
	sessions map[string]iam.Policy // by the start of the keys of the account
	asked    map[string]map[iam.Decision]int
	refused  []string
}

var credential = regexp.MustCompile(`Credential=(\w+)/\d+/([\w-]+)/(\w+)/`)

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	found := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if found == nil || r.Header.Get("X-Owner") != "" {
		g.next.ServeHTTP(w, r) // the test's own way to the simulator
		return
	}
	form, _ := url.ParseQuery(string(body))
	for _, request := range g.requests(found[3], r.Header.Get("X-Amz-Target"), form) {
		if d := g.decide(found[1], request, form); d != iam.Allow {
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprintf(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>%s on %s: %s</Message>"+
				"</Error></Errors><RequestID>1</RequestID></Response>", request.Action, request.Resource, d)
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// decide asks the policies of who signed the call, and counts the answer.
func (g *gate) decide(key string, r iam.Request, form url.Values) iam.Decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := iam.Decide(r, g.base...)
	switch {
	case strings.HasPrefix(key, "ASIA"):
		d = iam.InSession(r, g.sessions["tenant"], g.tenant.Policies...)
	case r.Action == "sts:AssumeRole" && d == iam.Allow:
		// The role's own trust policy is the other half of the question.
		trusted := r
		trusted.Principal = g.baseARN
		trusted.Context = map[string][]string{"sts:ExternalId": {form.Get("ExternalId")}, "aws:PrincipalArn": {g.baseARN}}
		d = iam.Decide(trusted, g.tenant.Trust)
		if policy, err := iam.Parse(form.Get("Policy")); err == nil {
			g.sessions["tenant"] = policy
		}
	}
	if g.asked[r.Action] == nil {
		g.asked[r.Action] = map[iam.Decision]int{}
	}
	g.asked[r.Action][d]++
	if d != iam.Allow {
		g.refused = append(g.refused, fmt.Sprintf("%s on %s with %v: %s", r.Action, r.Resource, r.Context, d))
	}
	return d
}

// requests are the questions that one call is to IAM. Sources:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
func (g *gate) requests(service, target string, form url.Values) []iam.Request {
	action := form.Get("Action")
	plain := iam.Request{Action: service + ":" + action, Resource: "*", Context: map[string][]string{}}
	switch {
	case service == "pricing":
		plain.Action = "pricing:" + target[strings.LastIndex(target, ".")+1:]
	case action == "GetCallerIdentity":
		return nil // open to all
	case action == "AssumeRole":
		plain.Resource = form.Get("RoleArn")
	case action == "RunInstances":
		return launchRequests(form)
	case action == "CreateTags", action == "TerminateInstances", action == "ModifyInstanceAttribute":
		return g.instanceRequests(plain.Action, form)
	case action == "CancelSpotInstanceRequests":
		plain.Resource = arnOf("spot-instances-request", form.Get("SpotInstanceRequestId.1"))
	}
	return []iam.Request{plain}
}

func arnOf(kind, id string) string {
	return "arn:aws:ec2:" + region + ":" + tenantAccount + ":" + kind + "/" + id
}

// launchRequests are those of RunInstances: for the instance and all that is made or used
// with it, for the tags of each, and for the role that the instance is given.
func launchRequests(form url.Values) []iam.Request {
	using := map[string]string{"image": form.Get("ImageId"), "subnet": form.Get("SubnetId"),
		"key-pair": form.Get("KeyName"), "security-group": form.Get("SecurityGroupId.1")}
	made := []string{"instance", "volume", "network-interface"}
	if form.Get("InstanceMarketOptions.MarketType") == "spot" {
		made = append(made, "spot-instances-request")
	}
	var out []iam.Request
	for _, kind := range slices.Sorted(maps.Keys(using)) {
		if using[kind] != "" {
			out = append(out, iam.Request{Action: "ec2:RunInstances", Resource: arnOf(kind, using[kind])})
		}
	}
	for _, kind := range made {
		tags := map[string][]string{}
		for n := 1; form.Get(fmt.Sprintf("TagSpecification.%d.ResourceType", n)) != ""; n++ {
			if form.Get(fmt.Sprintf("TagSpecification.%d.ResourceType", n)) == kind {
				tags = requestTags(form, fmt.Sprintf("TagSpecification.%d.Tag", n))
			}
		}
		launch := iam.Request{Action: "ec2:RunInstances", Resource: arnOf(kind, "*"), Context: maps.Clone(tags)}
		if kind == "instance" {
			launch.Context["ec2:MetadataHttpTokens"] = []string{form.Get("MetadataOptions.HttpTokens")}
		}
		out = append(out, launch)
		if len(tags) > 0 {
			tagging := iam.Request{Action: "ec2:CreateTags", Resource: arnOf(kind, "*"), Context: tags}
			tagging.Context["ec2:CreateAction"] = []string{"RunInstances"}
			out = append(out, tagging)
		}
	}
	if profile := form.Get("IamInstanceProfile.Arn"); profile != "" {
		out = append(out, iam.Request{Action: "iam:PassRole", Resource: profileRoles[profile],
			Context: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}}})
	}
	return out
}

// requestTags are the keys of a request that carries tags.
func requestTags(form url.Values, prefix string) map[string][]string {
	out := map[string][]string{}
	for n := 1; form.Get(fmt.Sprintf("%s.%d.Key", prefix, n)) != ""; n++ {
		key := form.Get(fmt.Sprintf("%s.%d.Key", prefix, n))
		out["aws:RequestTag/"+key] = []string{form.Get(fmt.Sprintf("%s.%d.Value", prefix, n))}
		out["aws:TagKeys"] = append(out["aws:TagKeys"], key)
	}
	return out
}

// instanceRequests are those of a call about instances that exist, with their tags.
func (g *gate) instanceRequests(action string, form url.Values) []iam.Request {
	var out []iam.Request
	for key, ids := range form {
		if !strings.HasPrefix(key, "InstanceId") && !strings.HasPrefix(key, "ResourceId.") {
			continue
		}
		r := iam.Request{Action: action, Resource: arnOf("instance", ids[0]), Context: requestTags(form, "Tag")}
		for tag, value := range g.tags(ids[0]) {
			r.Context["aws:ResourceTag/"+tag] = []string{value}
		}
		out = append(out, r)
	}
	return out
}

// requireNothingRefused fails with what was refused and why.
func (g *gate) requireNothingRefused(t *testing.T) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	require.Empty(t, g.refused)
}
