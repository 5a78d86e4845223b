package ec2sim

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

func (s *Server) getState(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	out := s.state(r.URL.Query().Get("account"), r.URL.Query().Get("live") == "true")
	s.mu.Unlock()
	writeJSON(w, out, nil)
}

// state shows the cloud now, with the instances of one account or of all.
func (s *Server) state(account string, live bool) client.State {
	w := s.world
	set, now := w.set(), w.now()
	out := client.State{
		Clock:     set.Clock.state(),
		Seed:      set.Seed,
		Delays:    set.Delays,
		Instances: []client.InstanceInfo{},
		Pools:     []client.PoolInfo{},
		Faults:    []client.Fault{},
		Throttles: slices.AppendSeq([]client.Throttle{}, maps.Values(set.Throttles)),
		Quotas:    slices.AppendSeq([]client.Quota{}, maps.Values(set.Quotas)),
		Roles:     slices.AppendSeq([]string{}, maps.Keys(set.Roles)),
	}
	slices.Sort(out.Roles)
	for _, f := range set.Faults {
		out.Faults = append(out.Faults, *f)
	}
	named := map[string]bool{}
	for key := range set.Limits {
		named[key[:strings.LastIndexByte(key, '/')]] = true
	}
	for pool := range set.Prices {
		named[pool] = true
	}
	all := slices.SortedFunc(maps.Values(w.instances.rows), func(a, b *instance) int { return int(a.Seq - b.Seq) })
	spot, ondemand := map[string]int{}, map[string]int{}
	for _, i := range all {
		state := i.state(now)
		alive := state == pending || state == running
		if alive && i.Market == client.Spot {
			spot[i.pool()]++
		} else if alive {
			ondemand[i.pool()]++
		}
		named[i.pool()] = named[i.pool()] || alive
		if (account == "" || account == i.Account) && (!live || state != terminated) {
			out.Instances = append(out.Instances, w.info(i, now))
		}
	}
	m := w.market()
	for _, pool := range slices.Sorted(maps.Keys(named)) {
		line, ok := m.series(pool, linux)
		if !ok || !named[pool] {
			continue
		}
		info := client.PoolInfo{
			Pool:          pool,
			SpotPrice:     m.price(line, m.at(now)),
			OnDemandPrice: line.typ.onDemand(line.region),
			SpotLive:      spot[pool],
			OnDemandLive:  ondemand[pool],
			SpotFree:      -1,
			OnDemandFree:  -1,
		}
		if limit, ok := set.Limits[limitKey(pool, client.Spot)]; ok {
			info.SpotFree = max(0, limit-info.SpotLive)
		}
		if limit, ok := set.Limits[limitKey(pool, client.OnDemand)]; ok {
			info.OnDemandFree = max(0, limit-info.OnDemandLive)
		}
		out.Pools = append(out.Pools, info)
	}
	return out
}

// info is an instance as it truly is now: neither delay nor lag hides anything.
func (w *world) info(i *instance, now time.Time) client.InstanceInfo {
	code, _ := i.reason(now)
	out := client.InstanceInfo{
		InstanceID:       i.ID,
		Account:          i.Account,
		Region:           i.Region,
		Zone:             i.Zone,
		Type:             i.Type,
		Pool:             i.pool(),
		Market:           i.Market,
		State:            i.state(now),
		StateReason:      code,
		StatusOK:         i.health(now) == "ok",
		ImageID:          i.Image,
		ClientToken:      i.Token,
		PrivateIP:        i.PrivateIP,
		PublicIP:         w.publicIP(i, now),
		Tags:             map[string]string{},
		LaunchTime:       i.Launched,
		RunningTime:      i.Running,
		RebalanceTime:    i.Rebalance,
		NoticeTime:       i.Notice,
		InterruptionTime: i.Interrupt,
	}
	maps.Copy(out.Tags, w.tags.rows[i.ID])
	if reached(i.End, now) {
		out.ShutdownTime, out.TerminatedTime = i.End, i.Gone
	}
	return out
}

func (s *Server) getCounts(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	out := s.world.counts(s.world.now())
	s.mu.Unlock()
	writeJSON(w, out, nil)
}

func (w *world) counts(now time.Time) client.Counts {
	t, gone := w.count(), w.set().Forgotten
	out := client.Counts{
		Calls:       maps.Clone(t.Calls),
		Errors:      maps.Clone(t.Errors),
		Dropped:     t.Dropped,
		Launched:    gone.Launched + int64(len(w.instances.rows)),
		Terminated:  gone.Launched,
		Interrupted: gone.Interrupted,
		Tokens:      gone.Tokens,
	}
	tokens := map[string]bool{}
	for _, i := range w.instances.rows {
		switch i.state(now) {
		case terminated, shuttingDown:
			out.Terminated++
		case pending, running:
			out.Live++
		}
		if i.interrupted(now) {
			out.Interrupted++
		}
		if i.Token != "" {
			tokens[i.Account+"/"+i.Token] = true
		}
	}
	out.Tokens += int64(len(tokens))
	return out
}

func (s *Server) getClock(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	out := s.world.set().Clock.state()
	s.mu.Unlock()
	writeJSON(w, out, nil)
}

// metadataOf returns what an instance reads about itself; one that ended reads nothing.
func (s *Server) metadataOf(r *http.Request) (client.Metadata, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.PathValue("instance_id")
	i, ok := s.world.instances.rows[id]
	if !ok {
		return client.Metadata{}, notHere(id)
	}
	now := s.world.now()
	if i.state(now) == terminated {
		return client.Metadata{}, &apiError{"InstanceTerminated", "The instance " + id + " is terminated.", http.StatusGone}
	}
	return s.world.metadata(i, now), nil
}

func (s *Server) getMetadata(w http.ResponseWriter, r *http.Request) {
	out, err := s.metadataOf(r)
	writeJSON(w, out, err)
}

// getMetadataText serves the paths of the real metadata service, below a prefix per instance.
func (s *Server) getMetadataText(w http.ResponseWriter, r *http.Request) {
	m, err := s.metadataOf(r)
	if err != nil {
		writeJSON(w, nil, err)
		return
	}
	texts := metadataTexts(m)
	s.roleTexts(m, texts)
	text, ok := texts[r.PathValue("path")]
	if r.PathValue("path") == "dynamic/instance-identity/rsa2048" {
		if text, err = signDocument(texts["dynamic/instance-identity/document"]); err != nil {
			writeJSON(w, nil, err)
			return
		}
		ok = true
	}
	if !ok || text == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, text) // the caller may be gone
}

// metadataTexts are the paths of the metadata service and what each answers.
func metadataTexts(m client.Metadata) map[string]string {
	out := map[string]string{
		"meta-data/instance-id":                 m.InstanceID,
		"meta-data/instance-type":               m.InstanceType,
		"meta-data/ami-id":                      m.ImageID,
		"meta-data/placement/availability-zone": m.AvailabilityZone,
		"meta-data/placement/region":            m.Region,
		"meta-data/local-ipv4":                  m.LocalIPv4,
		"meta-data/public-ipv4":                 m.PublicIPv4,
		"meta-data/instance-life-cycle":         m.LifeCycle,
	}
	if m.Spot != nil {
		out["meta-data/spot/instance-action"] = text(m.Spot)
		out["meta-data/spot/termination-time"] = m.Spot.Time.Format(time.RFC3339)
	}
	if m.Rebalance != nil {
		out["meta-data/events/recommendations/rebalance"] = text(m.Rebalance)
	}
	out["dynamic/instance-identity/document"] = text(map[string]string{
		"instanceId": m.InstanceID, "instanceType": m.InstanceType, "imageId": m.ImageID, "region": m.Region,
		"availabilityZone": m.AvailabilityZone, "accountId": m.Account, "privateIp": m.LocalIPv4,
		"pendingTime": m.Started.UTC().Format(time.RFC3339),
	})
	return out
}

func text(v any) string {
	raw, _ := json.Marshal(v) // strings and times always marshal
	return string(raw)
}

func (s *Server) putMetadataToken(w http.ResponseWriter, r *http.Request) {
	if _, err := s.metadataOf(r); err != nil {
		writeJSON(w, nil, err)
		return
	}
	_, _ = io.WriteString(w, suffix(40)) // the caller may be gone
}
