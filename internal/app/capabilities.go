package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"slices"

	"spotkeeper/internal/config"
)

// sayWhatCannotWork logs what is configured and cannot work in this process, a sentence
// each, at its start: later it would show as a model that does not load, or as a webhook
// that is not delivered.
func (a *App) sayWhatCannotWork(ctx context.Context, runsUploads bool) {
	if runsUploads {
		for _, sentence := range cannotWork(a.Config, exec.LookPath) {
			a.Log.WarnContext(ctx, sentence) //nolint:sloglint // each is a constant with the setting's value
		}
	}
	sinks, err := a.sinks()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	urls, err := sinks.WebhookURLs(ctx)
	if err != nil {
		return // the database is away, which is said elsewhere
	}
	if n := outOfReach(urls, a.Config.Webhooks.Allowed); n > 0 {
		a.Log.WarnContext(ctx, "webhooks have addresses inside that WEBHOOK_NETWORKS does not allow: nothing is delivered to them",
			"webhooks", n)
	}
}

// unsafePython is said where operators look: at the start, in /ready and by a gauge.
const unsafePython = "ENGINE_PYTHON is unsafe: where this machine gives no sandbox, uploaded engines and models run with our files " +
	"and network in their reach"

// checkPython fails while uploaded code may run without a sandbox.
func (a *App) checkPython(context.Context) error {
	if _, unsafe := a.Config.Engine.RunsPython(); unsafe {
		return errors.New(unsafePython)
	}
	return nil
}

// outOfReach counts webhooks whose address is one of a private network that is not allowed.
// Names are looked up at each delivery, not here.
func outOfReach(urls []string, allowed []netip.Prefix) (n int) {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		host := u.Hostname()
		if host == "localhost" {
			host = "127.0.0.1"
		}
		at, err := netip.ParseAddr(host)
		inside := err == nil && (at.IsPrivate() || at.IsLoopback() || at.IsLinkLocalUnicast())
		if inside && !slices.ContainsFunc(allowed, func(p netip.Prefix) bool { return p.Contains(at) }) {
			n++
		}
	}
	return n
}

// cannotWork judges settings against the image that the process runs in.
func cannotWork(c config.Config, find func(string) (string, error)) (sentences []string) {
	runs, unsafe := c.Engine.RunsPython()
	if runs {
		if _, err := find(c.Engine.PythonPath); err != nil {
			sentences = append(sentences, fmt.Sprintf("ENGINE_PYTHON is on and there is no interpreter %s (ENGINE_PYTHON_PATH): "+
				"uploaded Python does not run here. Use an image that has Python, or turn it off.", c.Engine.PythonPath))
		}
	}
	if unsafe {
		sentences = append(sentences, unsafePython)
	}
	if !runs && c.Engine.Python != "off" && c.Engine.Python != "" {
		sentences = append(sentences, fmt.Sprintf("ENGINE_PYTHON is %q, which counts as off: it takes on, off or unsafe.", c.Engine.Python))
	}
	if lib := c.Engine.ONNXLibrary; lib != "" {
		if _, err := os.Stat(lib); errors.Is(err, fs.ErrNotExist) {
			sentences = append(sentences, fmt.Sprintf("ONNXRUNTIME_LIB names %s, which is not there: ONNX models do not run here. "+
				"Use the image whose tag ends with -onnx, or leave it empty.", lib))
		}
	}
	return sentences
}
