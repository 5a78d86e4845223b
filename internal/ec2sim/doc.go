// Package ec2sim is EC2 as far as Spotkeeper and its agents use it, over HTTP,
// so that everything that calls EC2 does so through the unmodified SDK. It is a
// program of its own within the embedded stack: it knows nothing of the rest
// and depends on the standard library alone.
//
// # The APIs
//
// One address serves four of them. The caller's region is the one the request
// is signed for; the caller's account is in the access key (client.AccessKey).
// Signatures are not verified: serve it on the loopback interface only.
//
//   - EC2, query protocol of 2016-11-15: the actions in actions.go
//   - STS, 2011-06-15: AssumeRole, with registered roles and external ids, and GetCallerIdentity
//   - Pricing, JSON 1.1: GetProducts, with the list prices that the market is built on
//   - SQS, JSON 1.0: one queue ([EventQueue]) with the events that EventBridge sends about
//     instances; in memory, on the machine's clock, read by looking at the instances when
//     it is received from
//
// What a client may rely on: a client token launches once, for ever, and
// answers IdempotentParameterMismatch to another request (everything in it
// counts) and IdempotentInstanceTerminated when its instance is gone; a request
// that names a zone or a subnet has a token per zone; pools run out of capacity,
// accounts out of quota, buckets out of tokens; new instances are NotFound for a
// while and states are seen late, if the delays say so; a terminated instance
// is described for an hour. Instances have one root volume and one interface,
// each account has one default network with a subnet per zone, or two. Instances have the
// volumes that their launch asks for. A persistent spot request launches again when its
// instance has ended, until it is cancelled. Fleets and further networks do not exist here.
//
// # Time
//
// All moments are on a virtual clock, which is the real one until a test
// advances or scales it. Nothing happens in the background: the state of an
// instance, the price of a pool, the notices of an instance are functions of
// what was decided and the clock, computed when it is read. So there is no
// goroutine to stop, a frozen clock freezes the cloud, and advancing it by an
// hour is as exact as waiting for one.
//
// # The market
//
// The price of a pool is a pure function of the seed, the pool and the moment
// (market.go): the same seed is the same 90 days of history in every process.
// Zones, types and list prices are in catalog.go. Public images are
// client.PublicImage, subnets [SubnetID], security groups [DefaultGroup].
//
// # Durable state
//
// [New] returns a cloud in memory, [Open] one in a file and a journal
// beside it. A call is in the journal before it is answered, so that a process
// may be killed at any moment. Call counts are written with snapshots only,
// token buckets and calls in flight never.
//
// # The control API
//
// JSON under /_sim/, for tests, the demo and drills. The package client is its
// client and has its types: messages.go is what is sent, reports.go what is seen.
// Unknown fields and impossible values are refused with
// {"error": "<sentence>", "code": "ec2sim.<reason>"}. A pool is
// "<type>.<zone>", and where a pattern is allowed it is one of path.Match.
//
//	GET    /_sim/state?account=&live=true   State: clock, delays, instances with tags and times, pools, faults
//	GET    /_sim/counts                     Counts: calls by action, errors by code, launched, terminated, tokens
//	GET    /_sim/clock                      ClockState
//	GET    /_sim/imds/{id}                  Metadata: what the instance reads about itself; 404 unknown, 410 terminated
//	GET    /_sim/identity-certificate       what signs the instances' identity documents, in PEM
//	GET    /_sim/imds/{id}/latest/...       the same as the metadata service's own paths and texts, with PUT .../latest/api/token
//	POST   /_sim/capacity                   Capacity: limits a pool or a pattern of pools; reclaim gives notice to what is above
//	POST   /_sim/quota                      Quota: limits an account in a region
//	POST   /_sim/fault                      Fault: the next calls fail, lose their answer, are late, or launch what never runs
//	DELETE /_sim/fault                      removes all faults
//	POST   /_sim/throttle                   Throttle: a token bucket for an action, or "*"
//	POST   /_sim/delays                     Delays: those that are named; answers all
//	POST   /_sim/clock                      ClockChange: advance_seconds, now, scale (0 freezes)
//	POST   /_sim/interrupt                  Interruption: rebalance, notice or terminate, of an instance or a whole pool, in_seconds
//	POST   /_sim/hazard                     Hazard: new spot instances are interrupted by themselves, seeded
//	POST   /_sim/price                      PriceChange: fixes a pool's spot price from now on, 0 frees it
//	POST   /_sim/events                     Announcements: no more events in the queue, or again
//	POST   /_sim/impair                     Impairment: status checks of an instance fail
//	POST   /_sim/subnet                     SubnetChange: fills or deletes a subnet, or adds a second one to a zone
//	POST   /_sim/key                        KeyChange: the state of a KMS key
//	POST   /_sim/role                       Role: STS lets it be assumed
//	POST   /_sim/revoke                     Revocation: sessions that were assumed so far are refused
//	POST   /_sim/policy                     Policy: a service control policy denies calls, by type, zone, market or region
//	POST   /_sim/spot-role                  SpotRole: the account has no service-linked role of EC2 Spot
//	POST   /_sim/place                      Place: a region or a zone is not open to an account
//	POST   /_sim/show                       Shown: Describe calls show an instance in a state that it is not in
//	POST   /_sim/save                       writes a snapshot of durable state
//	POST   /_sim/reset                      an empty cloud again, with the options of the start
//
// An interruption is a sequence: a rebalance recommendation shows in the
// metadata and means nothing certain. A notice shows as the spot
// instance-action, with the time of the end; at that time, and not before, the
// instance shuts down with state reason Server.SpotInstanceTermination, unless
// its owner ended it earlier. A terminate ends it with no warning.
package ec2sim
