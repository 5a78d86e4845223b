package ec2sim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"

	"spotkeeper/internal/ec2sim/client"
)

// routes is the control API. It is documented in doc.go.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/state", s.getState)
	mux.HandleFunc("GET /_sim/counts", s.getCounts)
	mux.HandleFunc("GET /_sim/clock", s.getClock)
	mux.HandleFunc("GET /_sim/imds/{instance_id}", s.getMetadata)
	mux.HandleFunc("GET /_sim/imds/{instance_id}/latest/{path...}", s.getMetadataText)
	mux.HandleFunc("GET /_sim/identity-certificate", s.getIdentityCertificate)
	mux.HandleFunc("PUT /_sim/imds/{instance_id}/latest/api/token", s.putMetadataToken)
	mux.HandleFunc("POST /_sim/capacity", post(s, s.postCapacity))
	mux.HandleFunc("POST /_sim/quota", post(s, s.postQuota))
	mux.HandleFunc("POST /_sim/fault", post(s, s.postFault))
	mux.HandleFunc("DELETE /_sim/fault", post(s, s.deleteFaults))
	mux.HandleFunc("POST /_sim/throttle", post(s, s.postThrottle))
	mux.HandleFunc("POST /_sim/delays", s.postDelays)
	mux.HandleFunc("POST /_sim/clock", post(s, s.postClock))
	mux.HandleFunc("POST /_sim/interrupt", post(s, s.postInterrupt))
	mux.HandleFunc("POST /_sim/hazard", post(s, s.postHazard))
	mux.HandleFunc("POST /_sim/price", post(s, s.postPrice))
	mux.HandleFunc("POST /_sim/events", post(s, s.postAnnouncements))
	mux.HandleFunc("POST /_sim/impair", post(s, s.postImpair))
	mux.HandleFunc("POST /_sim/role", post(s, s.postRole))
	mux.HandleFunc("POST /_sim/revoke", post(s, s.postRevoke))
	mux.HandleFunc("POST /_sim/subnet", post(s, s.postSubnet))
	mux.HandleFunc("POST /_sim/key", post(s, s.postKey))
	mux.HandleFunc("POST /_sim/policy", post(s, s.postPolicy))
	mux.HandleFunc("POST /_sim/spot-role", post(s, s.postSpotRole))
	mux.HandleFunc("POST /_sim/place", post(s, s.postPlace))
	mux.HandleFunc("POST /_sim/show", post(s, s.postShow))
	mux.HandleFunc("POST /_sim/reset", post(s, s.postReset))
	mux.HandleFunc("POST /_sim/save", s.postSave)
	mux.HandleFunc("/_sim/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, nil, &apiError{"NoRoute", "The simulator has no " + r.Method + " " + r.URL.Path + ".",
			http.StatusNotFound})
	})
	return mux
}

// nothing is the body or the answer of a route that has none.
type nothing struct{}

// post makes a route of a function that changes the world: one JSON object in, one out.
func post[In any](s *Server, do func(In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := decode(r, &in); err != nil {
			writeJSON(w, nil, err)
			return
		}
		out, err := s.locked(func() (any, error) { return do(in) })
		writeJSON(w, out, err)
	}
}

// decode reads one JSON object; no body is an empty one.
func decode(r *http.Request, into any) error {
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return invalid("The body is not what this route takes: %v.", err)
	}
	return nil
}

// locked runs a change of the world and makes it durable.
func (s *Server) locked(do func() (any, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := do()
	if lost := s.flush(); lost != nil {
		return nil, lost
	}
	return out, err
}

func writeJSON(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{"InternalError", err.Error(), http.StatusInternalServerError}
		}
		code, v = e.Status, map[string]string{"error": e.Message, "code": "ec2sim." + e.Code}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the caller may be gone
}

func (s *Server) postCapacity(in client.Capacity) (any, error) {
	named, err := s.world.setCapacity(in)
	if err != nil {
		return nil, err
	}
	out := client.Interrupted{InstanceIDs: []string{}}
	for _, pool := range named {
		if in.Reclaim && in.Market != client.OnDemand {
			ids, err := s.world.reclaim(pool, in.Limit, s.world.now())
			if err != nil {
				return nil, err
			}
			out.InstanceIDs = append(out.InstanceIDs, ids...)
		}
	}
	return out, nil
}

func (s *Server) postQuota(in client.Quota) (any, error) {
	if in.Account == "" {
		in.Account = s.opts.Account
	}
	if in.Region == "" {
		in.Region = s.opts.Region
	}
	if _, ok := regionNamed(in.Region); !ok || !isAccount(in.Account) {
		return nil, invalid("There is no account %q in a region %q.", in.Account, in.Region)
	}
	s.world.setQuota(in)
	return nothing{}, nil
}

func (s *Server) postFault(in client.Fault) (any, error) {
	if in.Mode == "" {
		in.Mode = client.FaultError
		if in.Code == "" && in.LatencySeconds > 0 {
			in.Mode = client.FaultLatency
		}
	}
	switch in.Mode {
	case client.FaultError, client.FaultLost, client.FaultAfter, client.FaultLatency, client.FaultStillborn:
	default:
		return nil, invalid("There is no mode of fault %q.", in.Mode)
	}
	if _, err := path.Match(in.Pool, ""); err != nil {
		return nil, invalid("The pool pattern %q is malformed.", in.Pool)
	}
	if in.Mode == client.FaultStillborn && in.Action == "" {
		in.Action = "RunInstances"
	}
	if in.Times == 0 {
		in.Times = 1
	}
	set := s.world.changeSettings()
	set.Faults = append(set.Faults, &in)
	return nothing{}, nil
}

func (s *Server) deleteFaults(nothing) (any, error) {
	s.world.changeSettings().Faults = nil
	return nothing{}, nil
}

func (s *Server) postThrottle(in client.Throttle) (any, error) {
	if in.Action == "" {
		return nil, invalid("A throttle names an action, or * for all.")
	}
	s.world.setThrottle(in)
	return nothing{}, nil
}

// postDelays changes the delays that the body names.
func (s *Server) postDelays(w http.ResponseWriter, r *http.Request) {
	out, err := s.locked(func() (any, error) {
		delays := s.world.set().Delays
		if err := decode(r, &delays); err != nil {
			return nil, err
		}
		if min(delays.Pending, delays.Checks, delays.ShuttingDown, delays.Stopping, delays.Visibility, delays.Lag,
			delays.Image, delays.Notice, delays.API) < 0 {
			return nil, invalid("A delay is not negative.")
		}
		s.world.changeSettings().Delays = delays
		return delays, nil
	})
	writeJSON(w, out, err)
}

func (s *Server) postClock(in client.ClockChange) (any, error) {
	c := &s.world.changeSettings().Clock
	if err := c.change(in); err != nil {
		return nil, invalid("The clock cannot do that: %v.", err)
	}
	return c.state(), nil
}

func (s *Server) postInterrupt(in client.Interruption) (any, error) {
	ids, err := s.world.interrupt(in, s.world.now())
	return client.Interrupted{InstanceIDs: ids}, err
}

func (s *Server) postHazard(in client.Hazard) (any, error) {
	if in.Factor < 0 {
		return nil, invalid("A hazard is not negative.")
	}
	s.world.changeSettings().Hazard = in.Factor
	return in, nil
}

func (s *Server) postPrice(in client.PriceChange) (any, error) {
	if _, _, _, ok := splitPool(in.Pool); !ok || in.Price < 0 {
		return nil, invalid("There is no pool %q that could cost %v.", in.Pool, in.Price)
	}
	set, m := s.world.changeSettings(), s.world.market()
	set.Prices[in.Pool] = append(set.Prices[in.Pool], fixedPrice{Step: m.at(s.world.now()), Price: in.Price})
	return nothing{}, nil
}

func (s *Server) postImpair(in client.Impairment) (any, error) {
	i, ok := s.world.instances.rows[in.InstanceID]
	if !ok {
		return nil, notHere(in.InstanceID)
	}
	i.Impaired = in.Impaired
	s.world.instances.touch(i.ID)
	return nothing{}, nil
}

func notHere(id string) error {
	return &apiError{"InvalidInstanceID.NotFound", fmt.Sprintf("There is no instance %q.", id), http.StatusNotFound}
}

func (s *Server) postRole(in client.Role) (any, error) {
	if _, _, ok := splitRole(in.ARN); !ok {
		return nil, invalid("%q is not the ARN of a role.", in.ARN)
	}
	if in.Gone {
		delete(s.world.changeSettings().Roles, in.ARN)
		return nothing{}, nil
	}
	s.world.changeSettings().Roles[in.ARN] = in
	return nothing{}, nil
}

func (s *Server) postRevoke(in client.Revocation) (any, error) {
	if !isAccount(in.Account) {
		return nil, invalid("%q is no account.", in.Account)
	}
	set := s.world.changeSettings()
	if set.Revoked == nil {
		set.Revoked = map[string]client.Revocation{}
	}
	in.Code, in.UpTo = cmp.Or(in.Code, "UnauthorizedOperation"), set.Sessions
	set.Revoked[in.Account] = in
	return nothing{}, nil
}

func (s *Server) postSubnet(in client.SubnetChange) (any, error) {
	set := s.world.changeSettings()
	if set.Subnets == nil {
		set.Subnets, set.Second = map[string]string{}, map[string]bool{}
	}
	if in.Second != "" {
		account := in.Account
		if account == "" {
			account = s.opts.Account
		}
		set.Second[account+"/"+in.Second] = true
	}
	if in.SubnetID != "" {
		set.Subnets[in.SubnetID] = in.State
	}
	return nothing{}, nil
}

func (s *Server) postKey(in client.KeyChange) (any, error) {
	if in.KeyID == "" {
		return nil, invalid("A key has an id.")
	}
	set := s.world.changeSettings()
	if set.Keys == nil {
		set.Keys = map[string]string{}
	}
	set.Keys[in.KeyID] = in.State
	return nothing{}, nil
}

// postReset starts again with the options the simulator was made with.
func (s *Server) postReset(nothing) (any, error) {
	s.world = newWorld(s.opts)
	if s.file == nil {
		return nothing{}, nil
	}
	return nothing{}, s.file.compact(s.world)
}

// postSave writes a snapshot of durable state now.
func (s *Server) postSave(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.file == nil {
		err = fail("NoStateFile", "The simulator was not started with a state file.")
	} else {
		err = s.file.compact(s.world)
	}
	writeJSON(w, nothing{}, err)
}
