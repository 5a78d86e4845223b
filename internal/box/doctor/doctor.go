// Package doctor looks for what keeps an agent from working, and says how to mend it.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"spotkeeper/internal/box"
	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/hooks"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/settings"
)

// Finding is the outcome of one check.
type Finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Mend  string `json:"mend,omitempty"` // what to do when it is not well
}

// wrongClock is more than a notice's deadline should be off by.
const wrongClock = 5 * time.Second

// noticeSize is about what a notice with its hooks takes on disk.
const noticeSize = 16 << 10

// Examine runs every check of the configuration of a file. Each has its own time limit, so
// that all are done within about half a minute.
func Examine(ctx context.Context, file string, s settings.Settings, configured error, version string) []Finding {
	out := []Finding{result("configuration", configured, "every key has a value that can be used",
		"correct "+file+", or write it by: spotkeeper-agent enrol --api ADDRESS --agent-id NAME")}
	meta := imds.New(imds.Options{Endpoint: s.IMDS.Endpoint, Timeout: s.IMDS.Timeout})
	defer meta.Close()
	out = append(out, metadata(ctx, meta, s)...)
	if configured == nil {
		out = append(out, controlPlane(ctx, s, version)...)
	}
	return append(append(out, hookFiles(s), stateDir(s)), running(ctx, s)...)
}

func result(check string, err error, well, mend string) Finding {
	if err != nil {
		return Finding{Check: check, Found: err.Error(), Mend: mend}
	}
	return Finding{Check: check, OK: true, Found: well}
}

func metadata(ctx context.Context, meta *imds.Client, s settings.Settings) []Finding {
	answer, err := meta.Get(ctx, "meta-data/instance-id")
	if err != nil {
		return []Finding{{Check: "metadata service", Found: err.Error(), Mend: mendMetadata(ctx, s, err)}}
	}
	out := []Finding{{Check: "metadata service", OK: true, Found: "version 2 answers for " + answer.Text}}
	if key, tagged := strings.CutPrefix(s.AgentID, "tag:"); tagged {
		value, err := meta.Tag(ctx, key)
		if err == nil && value == "" {
			err = fmt.Errorf("the tag %q is empty", key)
		}
		out = append(out, result("agent id", err, "the tag says "+value,
			"set the tag, allow instance metadata tags, or write agent_id itself"))
	}
	if !answer.Date.IsZero() {
		out = append(out, clock("clock against the metadata service", answer.At.Sub(answer.Date)))
	}
	switch s.Join.Method {
	case settings.ByRole:
		_, err = meta.RoleCredentials(ctx)
		out = append(out, result("role of the instance", err, "it has one",
			"give the instance a profile whose role is on the client's list: PUT /api/client/{client_id}/join-rules"))
	case settings.ByDocument:
		_, err = meta.IdentityDocument(ctx)
		out = append(out, result("identity document", err, "there is one", "join by aws-iam, or by a token"))
	case settings.OneTime, settings.ClientToken:
	}
	life, err := meta.Text(ctx, "meta-data/instance-life-cycle")
	if err == nil {
		out = append(out, Finding{Check: "life cycle", OK: true, Found: life})
	}
	return out
}

// mendMetadata distinguishes a service that is off from one whose answers do not arrive: a
// container is one network hop further away than the instance.
func mendMetadata(ctx context.Context, s settings.Settings, err error) string {
	var refused *imds.StatusError
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		return "the metadata service is switched off: aws ec2 modify-instance-metadata-options --http-endpoint enabled"
	case reachable(ctx, s.IMDS.Endpoint):
		return "the service is there but its token does not arrive: in a container the hop limit must be 2 " +
			"(aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2) or the container must use the host's network"
	}
	return "no route to the metadata service: is this an EC2 instance, and does no firewall keep 169.254.169.254 away?"
}

func reachable(ctx context.Context, endpoint string) bool {
	if endpoint == "" {
		endpoint = imds.Endpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return false
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

func clock(check string, ahead time.Duration) Finding {
	f := Finding{Check: check, OK: ahead.Abs() <= wrongClock, Found: fmt.Sprintf("%.1f s ahead", ahead.Seconds())}
	if !f.OK {
		f.Mend = "set the clock: chrony with 169.254.169.123 is the time service of EC2"
	}
	return f
}

func controlPlane(ctx context.Context, s settings.Settings, version string) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	u, err := url.Parse(s.API)
	if err != nil {
		return nil
	}
	var out []Finding
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		out = append(out, Finding{Check: "proxy", OK: true, Found: "by " + proxy.Redacted() +
			"; the service reads it from /etc/spotkeeper/agent.env"})
	} else {
		addresses, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
		out = append(out, result("name of the control plane", err, strings.Join(addresses, ", "),
			"correct api: in the configuration, or the name service of this network; or name the proxy in HTTPS_PROXY"))
		if err != nil {
			return out
		}
	}
	var token string
	if s.Join.Method.NeedsToken() {
		token, err = s.Credential()
		out = append(out, result("token", err, "there is one", "spotkeeper-agent enrol --token-file FILE"))
		if err != nil {
			return out
		}
	}
	plane, err := controlplane.New(controlplane.Options{
		Base:       s.API,
		CAFile:     s.CAFile,
		Version:    version,
		Credential: func(string) (string, error) { return token, nil },
	})
	if err != nil {
		return append(out, result("control plane", err, "", "correct ca_file"))
	}
	defer plane.Close()
	if s.Join.Method.GivesToken() { // what there is now is good for joining alone
		return append(out, reached(s.API, plane.Health(ctx), "answers"))
	}
	owner, err := plane.Validate(ctx)
	return append(out, reached(s.API, err, "answers; the token is that of "+owner.Name))
}

func reached(api string, err error, well string) Finding {
	if err == nil {
		return Finding{Check: "control plane", OK: true, Found: well}
	}
	trouble := controlplane.Explain(api, err)
	return Finding{Check: "control plane", Found: trouble.Found, Mend: trouble.Mend}
}

func hookFiles(s settings.Settings) Finding {
	count := 0
	var wrong []error
	for _, event := range hooks.Events {
		groups, err := hooks.Find(s.Hooks.Dir, event)
		wrong = append(wrong, err)
		for _, group := range groups {
			count += len(group)
		}
	}
	return result("hooks", errors.Join(wrong...), fmt.Sprintf("%d in %s", count, s.Hooks.Dir),
		"a hook is an executable file that only its owner can change")
}

func stateDir(s settings.Settings) Finding {
	file, err := os.CreateTemp(s.StateDir, ".doctor-*")
	if err == nil { // a full disk has room for a name often enough
		_, err = file.Write(make([]byte, noticeSize))
		err = errors.Join(err, file.Sync(), file.Close(), os.Remove(file.Name()))
	}
	return result("state directory", err, s.StateDir+" can be written",
		"run as root; make room on the disk; mkdir -p "+s.StateDir)
}

// running asks the agent that runs whether the control plane has registered it: what it has
// joined with may be used up or refused, which no other check can see.
func running(ctx context.Context, s settings.Settings) []Finding {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var got box.Status
	if err := box.AskAgent(ctx, s.Socket, http.MethodGet, "/status", nil, &got); err != nil {
		return []Finding{{Check: "agent", Found: err.Error(),
			Mend: "systemctl enable --now spotkeeper-agent; journalctl -u spotkeeper-agent says why it ended"}}
	}
	out := []Finding{{Check: "agent", OK: true, Found: "runs, version " + got.Version}}
	said := Finding{Check: "registration", OK: true, Found: "registered as " + got.AgentID}
	switch {
	case got.JoinError != "":
		said.OK = false
		said.Found, said.Mend, _ = strings.Cut(got.JoinError, "; ")
	case got.AgentID == "" && !got.Ready.Ready:
		said.Found = "waits until the workload is ready " + got.Ready.Error
	case got.AgentID == "":
		said.Found = "is under way"
	case got.BeatError != "":
		said.OK = false
		said.Found, said.Mend, _ = strings.Cut(got.BeatError, "; ")
	}
	return append(out, said)
}
