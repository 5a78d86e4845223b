// Package client calls a running simulator's control API. It has the types of the messages
// and nothing of the server, so a program that only calls a simulator does not link one.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client drives a simulator over its control API.
type Client struct {
	base string
	http *http.Client
}

// NewClient returns a client for the simulator at a base address such as
// http://127.0.0.1:4566. A nil HTTP client is one with a deadline of ten seconds.
func NewClient(base string, c *http.Client) *Client {
	if c == nil {
		c = &http.Client{Timeout: 10 * time.Second}
	}
	return &Client{base: strings.TrimRight(base, "/") + "/_sim/", http: c}
}

// ControlError is a refusal of the control API.
type ControlError struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"error"`
}

// Error returns code and sentence.
func (e *ControlError) Error() string {
	return fmt.Sprintf("ec2sim: %s (%s, status %d)", e.Message, e.Code, e.Status)
}

// State returns the whole cloud.
func (c *Client) State(ctx context.Context) (State, error) {
	return do[State](ctx, c, http.MethodGet, "state", nil)
}

// Live returns the instances that are not terminated, of one account or, if it is empty, of all.
func (c *Client) Live(ctx context.Context, account string) ([]InstanceInfo, error) {
	out, err := do[State](ctx, c, http.MethodGet, "state?live=true&account="+url.QueryEscape(account), nil)
	return out.Instances, err
}

// Counts returns what happened since the start or the last reset.
func (c *Client) Counts(ctx context.Context) (Counts, error) {
	return do[Counts](ctx, c, http.MethodGet, "counts", nil)
}

// Metadata returns what an instance reads about itself.
func (c *Client) Metadata(ctx context.Context, instanceID string) (Metadata, error) {
	return do[Metadata](ctx, c, http.MethodGet, "imds/"+url.PathEscape(instanceID), nil)
}

// IdentityCertificate returns what signs the instances' identity documents, in PEM.
func (c *Client) IdentityCertificate(ctx context.Context) ([]byte, error) {
	out, err := do[IdentityCertificate](ctx, c, http.MethodGet, "identity-certificate", nil)
	return []byte(out.PEM), err
}

// Clock returns where the virtual clock stands.
func (c *Client) Clock(ctx context.Context) (ClockState, error) {
	return do[ClockState](ctx, c, http.MethodGet, "clock", nil)
}

// Advance moves the virtual clock forward.
func (c *Client) Advance(ctx context.Context, by time.Duration) (ClockState, error) {
	s := by.Seconds()
	return c.ChangeClock(ctx, ClockChange{AdvanceSeconds: &s})
}

// Freeze stops the virtual clock; only Advance moves it then.
func (c *Client) Freeze(ctx context.Context) (ClockState, error) {
	return c.ChangeClock(ctx, ClockChange{Scale: new(float64)})
}

// ChangeClock moves, sets or scales the virtual clock.
func (c *Client) ChangeClock(ctx context.Context, in ClockChange) (ClockState, error) {
	return do[ClockState](ctx, c, http.MethodPost, "clock", in)
}

// SetCapacity limits pools and returns the instances it gave notice to.
func (c *Client) SetCapacity(ctx context.Context, in Capacity) ([]string, error) {
	out, err := do[Interrupted](ctx, c, http.MethodPost, "capacity", in)
	return out.InstanceIDs, err
}

// SetQuota limits an account.
func (c *Client) SetQuota(ctx context.Context, in Quota) error {
	return c.post(ctx, "quota", in)
}

// AddFault makes the next matching calls go wrong.
func (c *Client) AddFault(ctx context.Context, in Fault) error {
	return c.post(ctx, "fault", in)
}

// ClearFaults removes all faults.
func (c *Client) ClearFaults(ctx context.Context) error {
	_, err := do[struct{}](ctx, c, http.MethodDelete, "fault", nil)
	return err
}

// SetThrottle limits the rate of an action.
func (c *Client) SetThrottle(ctx context.Context, in Throttle) error {
	return c.post(ctx, "throttle", in)
}

// SetDelays replaces all delays.
func (c *Client) SetDelays(ctx context.Context, in Delays) error {
	return c.post(ctx, "delays", in)
}

// SetHazard sets how likely new spot instances are interrupted by themselves.
func (c *Client) SetHazard(ctx context.Context, in Hazard) error {
	return c.post(ctx, "hazard", in)
}

// Interrupt signals one instance after a while.
func (c *Client) Interrupt(ctx context.Context, instanceID, kind string, in time.Duration) error {
	_, err := c.Signal(ctx, Interruption{InstanceID: instanceID, Kind: kind, InSeconds: in.Seconds()})
	return err
}

// Signal schedules any interruption and returns the instances it is for.
func (c *Client) Signal(ctx context.Context, in Interruption) ([]string, error) {
	out, err := do[Interrupted](ctx, c, http.MethodPost, "interrupt", in)
	return out.InstanceIDs, err
}

// SetPrice fixes the spot price of a pool; zero gives it back to the market.
func (c *Client) SetPrice(ctx context.Context, pool string, price float64) error {
	return c.post(ctx, "price", PriceChange{Pool: pool, Price: price})
}

// Announce switches the events of the queue off and on.
func (c *Client) Announce(ctx context.Context, in Announcements) error {
	return c.post(ctx, "events", in)
}

// Impair makes the status checks of an instance fail, or pass again.
func (c *Client) Impair(ctx context.Context, instanceID string, impaired bool) error {
	return c.post(ctx, "impair", Impairment{InstanceID: instanceID, Impaired: impaired})
}

// ChangeSubnet fills, deletes or restores a subnet, or adds a second one.
func (c *Client) ChangeSubnet(ctx context.Context, in SubnetChange) error {
	return c.post(ctx, "subnet", in)
}

// ChangeKey sets the state of a KMS key.
func (c *Client) ChangeKey(ctx context.Context, in KeyChange) error {
	return c.post(ctx, "key", in)
}

// AddRole lets callers with the role's external id assume it at STS.
func (c *Client) AddRole(ctx context.Context, in Role) error {
	return c.post(ctx, "role", in)
}

// RevokeSessions ends the sessions of an account that were assumed so far.
func (c *Client) RevokeSessions(ctx context.Context, in Revocation) error {
	return c.post(ctx, "revoke", in)
}

// DenyByPolicy adds a service control policy to an account, or removes all of them.
func (c *Client) DenyByPolicy(ctx context.Context, in Policy) error {
	return c.post(ctx, "policy", in)
}

// SetSpotRole says whether an account has the service-linked role of EC2 Spot.
func (c *Client) SetSpotRole(ctx context.Context, in SpotRole) error {
	return c.post(ctx, "spot-role", in)
}

// ChangePlace closes a region or a zone to an account, or opens it.
func (c *Client) ChangePlace(ctx context.Context, in Place) error {
	return c.post(ctx, "place", in)
}

// Show has EC2 show an instance in a state that it is not in, for a while.
func (c *Client) Show(ctx context.Context, in Shown) error {
	return c.post(ctx, "show", in)
}

// Save writes durable state down now.
func (c *Client) Save(ctx context.Context) error { return c.post(ctx, "save", nil) }

// Reset starts the cloud again, empty.
func (c *Client) Reset(ctx context.Context) error { return c.post(ctx, "reset", nil) }

func (c *Client) post(ctx context.Context, route string, in any) error {
	_, err := do[json.RawMessage](ctx, c, http.MethodPost, route, in)
	return err
}

func do[Out any](ctx context.Context, c *Client, method, route string, in any) (out Out, err error) {
	var body []byte
	if in != nil {
		if body, err = json.Marshal(in); err != nil {
			return out, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+route, bytes.NewReader(body))
	if err != nil {
		return out, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return out, err
	}
	defer func() { _ = res.Body.Close() }() // read to its end, or the call failed anyway
	if res.StatusCode != http.StatusOK {
		refused := &ControlError{Status: res.StatusCode}
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			return out, err
		}
		if json.Unmarshal(raw, refused) != nil {
			refused.Message = string(raw)
		}
		return out, refused
	}
	return out, json.NewDecoder(res.Body).Decode(&out)
}
