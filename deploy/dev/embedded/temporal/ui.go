package temporal

import (
	"context"
	"fmt"
	"net/http"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"

	"spotkeeper/deploy/dev/embedded/loopback"
)

// webUI is the Temporal Web UI, served by this process and talking to the
// frontend over gRPC.
type webUI struct {
	url    string
	server *uiserver.Server
	client *http.Client
	done   chan struct{}
}

func startUI(ctx context.Context, port int, frontend, namespace string) (*webUI, error) {
	// The UI server ends the process when it cannot listen, so a taken port
	// must be found before.
	port, err := loopback.Claim(port, "ui-port")
	if err != nil {
		return nil, err
	}
	cfg := &uiconfig.Config{
		TemporalGRPCAddress: frontend,
		Host:                loopback.Host,
		Port:                port,
		EnableUI:            true,
		DefaultNamespace:    namespace,
		// Plain http on loopback: a cookie marked secure would never come back.
		CORS:             uiconfig.CORS{CookieInsecure: true},
		DisableNewsFetch: true,
		HideLogs:         true,
	}
	ui := &webUI{
		url:    "http://" + loopback.Addr(port),
		server: uiserver.NewServer(server_options.WithConfigProvider(cfg)),
		client: &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		done:   make(chan struct{}),
	}
	go func() {
		defer close(ui.done)
		// It only returns after stop, and then without an error.
		_ = ui.server.Start()
	}()
	if err := retry(ctx, "wait for the Temporal Web UI", ui.ping); err != nil {
		ui.stop()
		return nil, err
	}
	return ui, nil
}

func (ui *webUI) ping(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ui.url+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := ui.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the Web UI answers %s", response.Status)
	}
	return nil
}

func (ui *webUI) stop() {
	ui.server.Stop()
	<-ui.done
}
