package ec2sim

import (
	"fmt"
	"strings"
	"time"
)

// States of an instance, as EC2 names and numbers them.
const (
	pending      = "pending"
	running      = "running"
	shuttingDown = "shutting-down"
	terminated   = "terminated"
	stopping     = "stopping"
	stopped      = "stopped"
)

var stateCodes = map[string]int{pending: 0, running: 16, shuttingDown: 32, terminated: 48, stopping: 64, stopped: 80}

// State reasons. The first distinguishes an interruption from a requested termination.
const (
	reasonInterrupted     = "Server.SpotInstanceTermination"
	reasonInterruptedStop = "Server.SpotInstanceShutdown"
	reasonUser            = "Client.UserInitiatedShutdown"
	reasonRetired         = "Server.ScheduledStop" // AWS retires the host of an EBS-backed instance
)

// describedFor is how long a terminated instance is still described.
const describedFor = time.Hour

// instance is what was decided about an instance, as moments of the virtual
// clock; its state is computed from them. A moment that lies in the future is a
// plan, and an earlier end replaces it.
type instance struct {
	Seq         int64    `json:"seq"`
	ID          string   `json:"id"`
	Account     string   `json:"account"`
	Region      string   `json:"region"`
	Zone        string   `json:"zone"`
	Type        string   `json:"type"`
	Market      string   `json:"market"`
	Image       string   `json:"image"`
	Token       string   `json:"token,omitempty"`
	Launch      string   `json:"launch,omitempty"` // key of its row in launches
	Reservation string   `json:"reservation"`
	Index       int      `json:"index"`
	SpotRequest string   `json:"spot_request,omitempty"`
	Subnet      string   `json:"subnet"`
	KeyName     string   `json:"key_name,omitempty"`
	Profile     string   `json:"profile,omitempty"`
	UserData    string   `json:"user_data,omitempty"`
	IMDSv2      bool     `json:"imdsv2"`
	Groups      []string `json:"groups"`
	Behaviour   string   `json:"behaviour,omitempty"`  // terminate, stop or hibernate: what an interruption does
	Persistent  bool     `json:"persistent,omitempty"` // its spot request launches again when it has ended
	Cancelled   bool     `json:"cancelled,omitempty"`  // unless it was cancelled
	Relaunched  bool     `json:"relaunched,omitempty"` // it has

	Asked     map[string]string `json:"asked,omitempty"` // parameters of the launch that it is described with
	Data      []dataDisk        `json:"data,omitempty"`  // volumes besides the root
	PrivateIP string            `json:"private_ip"`
	PublicIP  string            `json:"public_ip"`
	IPv6      string            `json:"ipv6,omitempty"`
	Disk      disk              `json:"disk"`
	Launched  time.Time         `json:"launched"`
	Visible   time.Time         `json:"visible"`
	Running   time.Time         `json:"running"`
	Checked   time.Time         `json:"checked"`
	Impaired  bool              `json:"impaired,omitempty"`

	Shown      string    `json:"shown,omitempty"` // the state that Describe calls show until ShownUntil
	ShownUntil time.Time `json:"shown_until,omitzero"`

	Stop       time.Time `json:"stop,omitzero"`
	Stopped    time.Time `json:"stopped,omitzero"`
	StopReason string    `json:"stop_reason,omitempty"`

	Rebalance time.Time `json:"rebalance,omitzero"`
	Notice    time.Time `json:"notice,omitzero"`
	Interrupt time.Time `json:"interrupt,omitzero"`

	End       time.Time `json:"end,omitzero"`  // shutting down from here
	Gone      time.Time `json:"gone,omitzero"` // terminated from here
	EndReason string    `json:"end_reason,omitempty"`
}

// disk is the root volume; its id is made of the instance's.
type disk struct {
	Size    int    `json:"size"`
	Kind    string `json:"kind"`
	Keep    bool   `json:"keep,omitempty"` // outlives the instance
	Deleted bool   `json:"deleted,omitempty"`

	IOPS       int    `json:"iops,omitempty"`
	Throughput int    `json:"throughput,omitempty"`
	Encrypted  bool   `json:"encrypted,omitempty"`
	Key        string `json:"key,omitempty"` // KMS
	Snapshot   string `json:"snapshot,omitempty"`
}

func (i *instance) pool() string   { return poolID(i.Type, i.Zone) }
func (i *instance) volume() string { return "vol-" + strings.TrimPrefix(i.ID, "i-") }
func (i *instance) nic() string    { return "eni-" + strings.TrimPrefix(i.ID, "i-") }

// reached says whether a moment is set and not in the future.
func reached(moment, now time.Time) bool { return !moment.IsZero() && !now.Before(moment) }

func (i *instance) state(now time.Time) string {
	switch {
	case reached(i.Gone, now):
		return terminated
	case reached(i.End, now):
		return shuttingDown
	case reached(i.Stopped, now):
		return stopped
	case reached(i.Stop, now):
		return stopping
	case now.Before(i.Running):
		return pending
	default:
		return running
	}
}

// described says whether Describe calls show the instance at all.
func (i *instance) described(now time.Time) bool {
	return !now.Before(i.Visible) && (i.Gone.IsZero() || now.Before(i.Gone.Add(describedFor)))
}

// interrupted says whether EC2 took the instance.
func (i *instance) interrupted(now time.Time) bool {
	return i.EndReason == reasonInterrupted && reached(i.End, now)
}

// reason is why the instance is in its state: EC2's code and sentence.
func (i *instance) reason(now time.Time) (code, message string) {
	switch i.state(now) {
	case shuttingDown, terminated:
		code = i.EndReason
	case stopping, stopped:
		code = i.StopReason
	}
	switch code {
	case "":
		return "", ""
	case reasonUser:
		return code, code + ": User initiated shutdown"
	case reasonInterrupted:
		return code, code + ": Spot instance termination"
	case reasonInterruptedStop:
		return code, code + ": Spot instance stopped"
	default:
		return code, code + ": Instance ended"
	}
}

// transition is the text EC2 gives for the last change a caller or EC2 made.
func (i *instance) transition(now time.Time) string {
	code, _ := i.reason(now)
	at := i.End
	if !reached(at, now) {
		at = i.Stop
	}
	switch code {
	case "":
		return ""
	case reasonUser:
		return fmt.Sprintf("User initiated (%s)", at.Format("2006-01-02 15:04:05 MST"))
	default:
		return code
	}
}

// health is the result of both status checks.
func (i *instance) health(now time.Time) string {
	switch {
	case i.state(now) != running:
		return "not-applicable"
	case i.Impaired:
		return "impaired"
	case now.Before(i.Checked):
		return "initializing"
	default:
		return "ok"
	}
}

// end terminates the instance from a moment on, unless it ends earlier anyway.
func (i *instance) end(at time.Time, after time.Duration, reason string) bool {
	if !i.End.IsZero() && !i.End.After(at) {
		return false
	}
	i.End, i.Gone, i.EndReason = at, at.Add(after), reason
	return true
}
