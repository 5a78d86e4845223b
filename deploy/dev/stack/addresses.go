package stack

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
)

// Addresses are where the parts of a running stack are found. Each part fills
// in its own; what was not started stays empty.
type Addresses struct {
	API         string `json:"api,omitempty"`
	TemporalUI  string `json:"temporal_ui,omitempty"`
	Temporal    string `json:"temporal,omitempty"`
	Namespace   string `json:"namespace,omitempty"`
	DatabaseURL string `json:"database_url,omitempty"`
	EC2         string `json:"ec2,omitempty"`
	// EventQueue is the simulator's queue of events, where the worker is to read it.
	EventQueue    string `json:"event_queue,omitempty"`
	WorkerMetrics string `json:"worker_metrics,omitempty"`
	APIMetrics    string `json:"api_metrics,omitempty"`
	// OperatorToken is what operators log in with, Console a link that does.
	OperatorToken string `json:"operator_token,omitempty"`
	Console       string `json:"console,omitempty"`
	Dir           string `json:"dir"`
	Log           string `json:"log,omitempty"`
	// Clients are the demo's tenants.
	Clients []Client `json:"clients,omitempty"`
}

// Client is a tenant of the demo with the token its agents use.
type Client struct {
	Name  string `json:"name"`
	ID    string `json:"id"`
	Token string `json:"token"`
}

// WriteJSON writes the addresses as one line, for programs.
func (a *Addresses) WriteJSON(w io.Writer) error {
	if err := json.NewEncoder(w).Encode(a); err != nil {
		return fmt.Errorf("write the addresses: %w", err)
	}
	return nil
}

// WriteTable writes the addresses for people.
func (a *Addresses) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what, where string) {
		if where != "" {
			_, _ = fmt.Fprintf(table, "  %s\t%s\n", what, where) // Flush reports.
		}
	}
	row("console", a.Console)
	row("operator token", a.OperatorToken)
	row("API", a.API)
	row("Temporal Web UI", a.TemporalUI)
	row("Temporal", a.Temporal)
	row("Postgres", a.DatabaseURL)
	row("EC2 simulator", a.EC2)
	row("worker metrics", a.WorkerMetrics)
	row("api metrics", a.APIMetrics)
	row("state", a.Dir)
	row("log", a.Log)
	for _, client := range a.Clients {
		row("client "+client.Name, fmt.Sprintf("%s  token %s", client.ID, client.Token))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the addresses: %w", err)
	}
	return nil
}

// Environment is the configuration that points the product's own programs, api and worker,
// at the stack: the same variables that point them at production.
func (a *Addresses) Environment() map[string]string {
	environment := map[string]string{
		"DATABASE_URL":             a.DatabaseURL,
		"TEMPORAL_ADDRESS":         a.Temporal,
		"TEMPORAL_NAMESPACE":       a.Namespace,
		"AWS_ENDPOINT_URL_EC2":     a.EC2,
		"AWS_ENDPOINT_URL_STS":     a.EC2,
		"AWS_ENDPOINT_URL_PRICING": a.EC2,
		"EVENTS_QUEUE_URL":         a.EventQueue,
		"EC2_SIMULATED":            "true",
		// A page under development is served from another port of this machine.
		"CORS_ORIGINS":   "http://localhost:3000,http://localhost:5173,http://127.0.0.1:3000,http://127.0.0.1:5173",
		"ADMIN_TOKEN":    a.OperatorToken,
		"PRICE_BACKFILL": "168h", // a week of the simulated past fills the charts; ninety days would only fill the disk
	}
	if a.Temporal != "" {
		// A profile in the developer's home is for another server.
		environment["TEMPORAL_CONFIG_FILE"] = os.DevNull
	}
	if a.EventQueue != "" {
		environment["AWS_ENDPOINT_URL_SQS"] = a.EC2
	}
	for name, value := range environment {
		if value == "" {
			delete(environment, name)
		}
	}
	return environment
}
