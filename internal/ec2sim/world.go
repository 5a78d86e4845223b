package ec2sim

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/ec2sim/derive"
)

// table holds the rows of one kind and records which of them changed since
// they were last written.
type table[T any] struct {
	rows  map[string]T
	dirty map[string]bool
}

func (t *table[T]) put(key string, row T) {
	if t.rows == nil {
		t.rows = map[string]T{}
	}
	t.rows[key] = row
	t.touch(key)
}

func (t *table[T]) touch(key string) {
	if t.dirty == nil {
		t.dirty = map[string]bool{}
	}
	t.dirty[key] = true
}

func (t *table[T]) drop(key string) {
	delete(t.rows, key)
	t.touch(key)
}

// sorted returns the rows that pass, in the order of their keys.
func (t *table[T]) sorted(pass func(T) bool) []T {
	var out []T
	for _, key := range slices.Sorted(maps.Keys(t.rows)) {
		if row := t.rows[key]; pass(row) {
			out = append(out, row)
		}
	}
	return out
}

// changes hands each changed row to write, null for one that is gone.
func (t *table[T]) changes(write func(key string, row any) error) error {
	for key := range t.dirty {
		var row any
		if r, ok := t.rows[key]; ok {
			row = r
		}
		if err := write(key, row); err != nil {
			return err
		}
	}
	clear(t.dirty)
	return nil
}

// every marks all rows as changed, for a snapshot.
func (t *table[T]) every() {
	for key := range t.rows {
		t.touch(key)
	}
}

func (t *table[T]) load(key string, raw json.RawMessage) error {
	if string(raw) == "null" {
		delete(t.rows, key)
		return nil
	}
	var row T
	if err := json.Unmarshal(raw, &row); err != nil {
		return err
	}
	if t.rows == nil {
		t.rows = map[string]T{}
	}
	t.rows[key] = row
	return nil
}

// persistent is a table of any kind.
type persistent interface {
	changes(write func(key string, row any) error) error
	every()
	load(key string, raw json.RawMessage) error
}

// world is all that is remembered. Everything else follows from it and the clock.
type world struct {
	instances table[*instance]
	launches  table[*launch] // by account, region, zone if the token is zonal, and token
	tags      table[map[string]string]
	images    table[*image]
	snapshots table[*snapshot]
	addresses table[*address]
	groups    table[*group]
	templates table[*launchTemplate]
	settings  table[*settings] // one row
	tally     table[*tally]    // one row

	live    map[string]*instance // not yet known to be terminated
	lasting map[string]*instance // of persistent spot requests that have not launched again
	buckets map[string]*bucket
	seq     int64
}

// settings are what the control API sets, and the clock.
type settings struct {
	Seed      int64                        `json:"seed"`
	Step      time.Duration                `json:"price_step"`
	Clock     clock                        `json:"clock"`
	Delays    client.Delays                `json:"delays"`
	Hazard    float64                      `json:"hazard"`
	Limits    map[string]int               `json:"limits"` // by pool/market
	Quotas    map[string]client.Quota      `json:"quotas"` // by account/region
	Throttles map[string]client.Throttle   `json:"throttles"`
	Faults    []*client.Fault              `json:"faults"`
	Roles     map[string]client.Role       `json:"roles"`
	Sessions  int                          `json:"sessions,omitempty"` // assumed so far
	Revoked   map[string]client.Revocation `json:"revoked,omitempty"`  // by account
	Prices    map[string][]fixedPrice      `json:"prices"`
	KeyPairs  map[string]bool              `json:"key_pairs,omitempty"`  // by account/region/name; false: deleted
	Keys      map[string]string            `json:"keys,omitempty"`       // state of KMS keys, by id; one that is not named is enabled
	Subnets   map[string]string            `json:"subnets,omitempty"`    // full or deleted, by id
	Second    map[string]bool              `json:"second,omitempty"`     // account/zone with a second subnet
	Policies  map[string][]client.Policy   `json:"policies,omitempty"`   // by account
	SpotRoles map[string]client.SpotRole   `json:"spot_roles,omitempty"` // by account
	Closed    map[string]bool              `json:"closed,omitempty"`     // account/region or account/zone
	// Forgotten are launched, interrupted instances and tokens that retention removed.
	Forgotten struct{ Launched, Interrupted, Tokens int64 } `json:"forgotten"`
}

// tally counts calls. It is written with snapshots only: no instance depends on it.
type tally struct {
	Calls   map[string]int64 `json:"calls"`
	Errors  map[string]int64 `json:"errors"`
	Dropped int64            `json:"dropped"`
}

const theRow = "0"

func newWorld(o Options) *world {
	w := &world{live: map[string]*instance{}, lasting: map[string]*instance{}, buckets: map[string]*bucket{}}
	w.settings.put(theRow, &settings{
		Seed: o.Seed, Step: o.PriceStep, Clock: newClock(o.Now), Delays: o.Delays, Hazard: o.Hazard,
		Limits: map[string]int{}, Quotas: map[string]client.Quota{}, Throttles: map[string]client.Throttle{},
		Roles: map[string]client.Role{}, Prices: map[string][]fixedPrice{},
	})
	w.tally.put(theRow, &tally{Calls: map[string]int64{}, Errors: map[string]int64{}})
	return w
}

func (w *world) tables() map[string]persistent {
	return map[string]persistent{
		"instances": &w.instances,
		"launches":  &w.launches,
		"tags":      &w.tags,
		"images":    &w.images,
		"snapshots": &w.snapshots,
		"addresses": &w.addresses,
		"groups":    &w.groups,
		"templates": &w.templates,
		"settings":  &w.settings,
		"tally":     &w.tally,
	}
}

func (w *world) set() *settings { return w.settings.rows[theRow] }

// changeSettings returns the settings to be changed.
func (w *world) changeSettings() *settings {
	w.settings.touch(theRow)
	return w.set()
}

func (w *world) count() *tally { return w.tally.rows[theRow] }

func (w *world) now() time.Time { return w.set().Clock.now() }

func (w *world) market() market {
	s := w.set()
	return market{seed: derive.MixWords(uint64(s.Seed), 0), step: s.Step, fixed: s.Prices}
}

// revive builds what is not stored after a load.
func (w *world) revive(real func() time.Time) {
	w.set().Clock.real = real
	w.live, w.lasting = map[string]*instance{}, map[string]*instance{}
	for id, i := range w.instances.rows {
		w.live[id] = i
		if i.Persistent && !i.Relaunched {
			w.lasting[id] = i
		}
		w.seq = max(w.seq, i.Seq)
	}
}

// alive calls f with every instance that holds capacity now.
func (w *world) alive(now time.Time, f func(*instance)) {
	for id, i := range w.live {
		switch i.state(now) {
		case pending, running:
			f(i)
		case terminated:
			delete(w.live, id)
		}
	}
}

// forget drops what ended longer ago than keep, with its token and tags.
func (w *world) forget(now time.Time, keep time.Duration) {
	if keep <= 0 {
		return
	}
	for id, i := range w.instances.rows {
		if i.Gone.IsZero() || now.Sub(i.Gone) < keep {
			continue
		}
		s := w.changeSettings()
		s.Forgotten.Launched++
		if i.interrupted(now) {
			s.Forgotten.Interrupted++
		}
		if l, ok := w.launches.rows[i.Launch]; ok {
			l.Instances = slices.DeleteFunc(l.Instances, func(one string) bool { return one == id })
			w.launches.touch(i.Launch)
			if len(l.Instances) == 0 {
				w.launches.drop(i.Launch)
				s.Forgotten.Tokens++
			}
		}
		suffix := strings.TrimPrefix(id, "i-")
		for _, tagged := range []string{id, "vol-" + suffix, "eni-" + suffix, i.SpotRequest} {
			if _, ok := w.tags.rows[tagged]; ok {
				w.tags.drop(tagged)
			}
		}
		delete(w.live, id)
		w.instances.drop(id)
	}
}
