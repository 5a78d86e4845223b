package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"

	"spotkeeper/internal/box/controlplane"
	"spotkeeper/internal/box/settings"
	"spotkeeper/internal/box/spool"
)

type enrolCommand struct {
	API       string `required:"" help:"Address of the control plane."`
	AgentID   string `required:"" help:"Name of this workload, or tag:KEY for the value of an instance tag."`
	Join      string `help:"How to join: aws-iam, aws-iid or token." enum:"aws-iam,aws-iid,token" default:"token"`
	ClientID  string `help:"Client to join, where several share the AWS account."`
	TokenFile string `help:"File with the token; - reads it from the standard input." default:"-"`
	Ready     string `help:"Address that answers 200 when the workload is ready."`
	CAFile    string `help:"Certificates that the control plane's is checked with."`
	Force     bool   `help:"Write the configuration even when the control plane does not answer."`
}

// enrolled is the configuration that enrol writes: what differs from the defaults.
type enrolled struct {
	API     string        `yaml:"api"`
	AgentID string        `yaml:"agent_id"`
	CAFile  string        `yaml:"ca_file,omitempty"`
	Join    enrolledJoin  `yaml:"join"`
	Ready   enrolledReady `yaml:"ready,omitempty"`
}

type enrolledJoin struct {
	Method    settings.Method `yaml:"method"`
	TokenFile string          `yaml:"token_file,omitempty"`
	ClientID  string          `yaml:"client_id,omitempty"`
}

type enrolledReady struct {
	HTTP string `yaml:"http,omitempty"`
}

// Run implements the command. The token never appears on the command line, where other
// users could read it.
func (c enrolCommand) Run(p *program) error {
	s := settings.Default()
	s.API, s.AgentID, s.CAFile, s.Ready.HTTP = c.API, c.AgentID, c.CAFile, c.Ready
	s.Join = settings.Join{Method: settings.Method(c.Join), ClientID: c.ClientID}
	if c.Join == "token" {
		token, err := c.readToken()
		if err != nil {
			return err
		}
		s.Join.Method, s.Join.Token = settings.MethodOf(token), settings.Secret(token)
		s.Join.TokenFile = filepath.Join(filepath.Dir(p.config), "token")
	}
	if err := s.Validate(); err != nil {
		return err
	}
	found, err := ask(p.ctx, s)
	if err != nil && !c.Force {
		return fmt.Errorf("nothing is written (--force writes all the same): %w", controlplane.Explain(s.API, err))
	}
	content, err := yaml.Marshal(enrolled{s.API, s.AgentID, s.CAFile,
		enrolledJoin{s.Join.Method, s.Join.TokenFile, s.Join.ClientID}, enrolledReady{c.Ready}})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.config), 0o750); err != nil {
		return err
	}
	if s.Join.TokenFile != "" {
		if err := spool.Replace(s.Join.TokenFile, []byte(s.Join.Token.Reveal()+"\n")); err != nil {
			return err
		}
	}
	if err := spool.Replace(p.config, content); err != nil {
		return err
	}
	fmt.Printf("%s is written; %s.\nNext: systemctl enable --now spotkeeper-agent && spotkeeper-agent doctor\n",
		p.config, found)
	return nil
}

// ask says what the control plane answers. A one-time token is used up by the agent's
// first start, not here.
func ask(ctx context.Context, s settings.Settings) (found string, err error) {
	plane, err := controlplane.New(controlplane.Options{Base: s.API, CAFile: s.CAFile, Version: version,
		Credential: func(string) (string, error) {
			if s.Join.Method.NeedsToken() {
				return s.Credential()
			}
			return "", nil
		}})
	if err != nil {
		return "", err
	}
	defer plane.Close()
	if s.Join.Method.GivesToken() {
		return "the control plane answers", plane.Health(ctx)
	}
	owner, err := plane.Validate(ctx)
	return fmt.Sprintf("the token is that of %q", owner.Name), err
}

func (c enrolCommand) readToken() (string, error) {
	var content []byte
	var err error
	if c.TokenFile == "-" {
		content, err = io.ReadAll(io.LimitReader(os.Stdin, 64<<10))
	} else {
		content, err = os.ReadFile(c.TokenFile)
	}
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", errors.New("the token is empty")
	}
	return token, nil
}
