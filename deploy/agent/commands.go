package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"spotkeeper/internal/box"
	"spotkeeper/internal/box/doctor"
)

type statusCommand struct {
	JSON bool `help:"Print everything as JSON."`
}

// Run implements the command.
func (c statusCommand) Run(p *program) error {
	var got box.Status
	if err := p.ask(http.MethodGet, "/status", nil, &got); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(got)
	}
	fmt.Printf("agent      %s, version %s, pid %d, since %s\n", got.LogicalID, got.Version, got.PID,
		got.Since.Format(time.DateTime))
	fmt.Printf("instance   %s %s %s %s\n", got.Identity.InstanceID, got.Identity.InstanceType, got.Identity.Zone,
		got.Identity.LifeCycle)
	switch {
	case got.JoinError != "":
		fmt.Printf("registered no: %s\n", got.JoinError)
	case got.AgentID == "" && !got.Ready.Ready:
		fmt.Printf("registered not before the workload is ready %s\n", got.Ready.Error)
	case got.AgentID == "":
		fmt.Printf("registered not yet\n")
	case got.BeatError != "":
		fmt.Printf("registered %s at %s; the last heartbeat failed: %s\n", got.AgentID, got.API, got.BeatError)
	default:
		fmt.Printf("registered %s at %s; last heartbeat %s\n", got.AgentID, got.API, got.LastBeat.Format(time.DateTime))
	}
	for path, w := range got.Metadata {
		if w.Failures > 0 {
			fmt.Printf("metadata   %s failed %d times: %s (spotkeeper-agent doctor says what to do)\n", path, w.Failures, w.Error)
		}
	}
	if got.DiskError != "" {
		fmt.Printf("disk       notices are not kept over a restart: %s\n", got.DiskError)
	}
	if got.Maintenance != "" {
		fmt.Printf("scheduled  %s\n", got.Maintenance)
	}
	for _, n := range got.Notices {
		fmt.Printf("notice     %s, done %t", n.ID, n.Done)
		if !n.Deadline.IsZero() {
			fmt.Printf(", deadline %s", n.Deadline.Format(time.RFC3339))
		}
		if n.Answer != nil {
			fmt.Printf(", answer %s %s%s", n.Answer.Action, n.Answer.NewInstanceID, n.Answer.Refused)
		}
		fmt.Println()
		for _, h := range n.Hooks {
			if h.Ended.IsZero() {
				fmt.Printf("  hook     %s runs since %s\n", h.Name, h.Started.Format(time.DateTime))
				continue
			}
			fmt.Printf("  hook     %s exit %d, ended %s after %s\n", h.Name, h.Exit, h.Ended.Format(time.DateTime),
				h.Ended.Sub(h.Started).Round(time.Millisecond))
		}
	}
	return nil
}

type doctorCommand struct {
	JSON bool `help:"Print the findings as JSON."`
}

// Run implements the command. It fails when a check does.
func (c doctorCommand) Run(p *program) error {
	s, configured := p.settings()
	found := doctor.Examine(p.ctx, p.config, s, configured, version)
	if c.JSON {
		return printJSON(found)
	}
	ill := 0
	for _, f := range found {
		mark := "ok  "
		if !f.OK {
			mark, ill = "FAIL", ill+1
		}
		fmt.Printf("%s  %-34s %s\n", mark, f.Check, f.Found)
		if f.Mend != "" {
			fmt.Printf("      → %s\n", f.Mend)
		}
	}
	if ill > 0 {
		return fmt.Errorf("%d of %d checks fail", ill, len(found))
	}
	return nil
}

type drainCommand struct{}

// Run implements the command.
func (drainCommand) Run(p *program) error { return p.order("/drain", nil) }

type readyCommand struct{}

// Run implements the command.
func (readyCommand) Run(p *program) error { return p.order("/ready", nil) }

type drainedCommand struct{}

// Run implements the command.
func (drainedCommand) Run(p *program) error { return p.order("/drained", nil) }

type noticeCommand struct {
	Simulate time.Duration `required:"" help:"Time that the simulated notice leaves, such as 120s. The hooks really run."`
	Report   bool          `help:"Report it to the control plane as a real notice: the agent fails over."`
}

// Run implements the command.
func (c noticeCommand) Run(p *program) error {
	return p.order("/notice", box.Rehearsal{Seconds: c.Simulate.Seconds(), Report: c.Report})
}

func (p *program) order(path string, in any) error {
	var said string
	if err := p.ask(http.MethodPost, path, in, &said); err != nil {
		return err
	}
	_, err := fmt.Println(said)
	return err
}

// ask needs the socket alone: a configuration that is wrong elsewhere is no reason not to
// ask the running agent.
func (p *program) ask(method, path string, in, out any) error {
	s, err := p.settings()
	if s.Socket == "" {
		return errors.Join(errors.New("the configuration names no socket"), err)
	}
	return box.AskAgent(p.ctx, s.Socket, method, path, in, out)
}

func printJSON(v any) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(v)
}
