package box

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"spotkeeper/internal/box/imds"
)

// staleAfter is when the watch for notices counts as stuck: each read ends within the
// timeout of the metadata service, whatever that answers.
const staleAfter = 2 * time.Minute

func (a *Agent) notify(text string) {
	if _, err := daemon.SdNotify(false, text); err != nil {
		a.log.Warn("systemd cannot be notified", "error", err)
	}
}

// watchdog reports to systemd that the agent works. It stops reporting when the watch for
// notices is stuck, and systemd starts the agent again.
func (a *Agent) watchdog(ctx context.Context) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		return
	}
	for wait(ctx, every/3, nil) {
		if a.watches() {
			a.notify(daemon.SdNotifyWatchdog)
		}
	}
	a.notify(daemon.SdNotifyStopping)
}

// watches says whether the watch for notices has read its path not long ago, well or not.
func (a *Agent) watches() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.Identity.InstanceID == "" {
		return true // it still asks who it is
	}
	last := a.lastLook[imds.InstanceAction]
	return time.Since(last) < staleAfter || time.Since(a.began) < staleAfter
}
