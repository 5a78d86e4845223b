package ec2sim

import (
	"cmp"
	"fmt"
	"net/http"
	"path"

	"spotkeeper/internal/ec2sim/client"
)

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
	case client.FaultError, client.FaultLost, client.FaultAfter, client.FaultLatency, client.FaultStillborn,
		client.FaultHidden:
	default:
		return nil, invalid("There is no mode of fault %q.", in.Mode)
	}
	if _, err := path.Match(in.Pool, ""); err != nil {
		return nil, invalid("The pool pattern %q is malformed.", in.Pool)
	}
	if (in.Mode == client.FaultStillborn || in.Mode == client.FaultHidden) && in.Action == "" {
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
