// Package workflows orders work and remembers how far it got. Its code is
// replayed, so it reads no clock, does no I/O and ranges over no map.
//
//	workflow     id                                what it hears                      who starts it                       lives
//	Guardian     guardian/<agent>                  eight updates, wake, state         any message, by update- or          one decision and a second
//	                                                                                  signal-with-start
//	Replica      replica/<replica>                 release, report, cancel, progress  Guardian; a release, only to        from the choice of a pool
//	                                                                                  retire                              to promotion or retirement
//	Switch       switch/<command>                  news, cancel, progress             Guardian; the sweep                 minutes, and as long as the
//	                                                                                                                      old instance is kept
//	AgentSwitch  switch/<command>, or              news, cancel, progress             Guardian; an agent's report;        until the agent has moved
//	             switch/<new instance>                                                the sweep
//	Termination  termination/<agent>/<instance>    news, progress                     Guardian, after the change of       until AWS has taken the
//	                                                                                  roles or beside the search          instance
//	Promotion    promotion/<replica>               news, cancel, progress             Guardian                            until the old instance ended
//	Removal      removal/<agent>                   progress                           Guardian                            until what we launched ended
//	ModelRollout model-rollout/<session>           begin, promote, pause, resume,     StartRollout, by                    until the session has earned
//	                                               abort, rollback, nudge, progress   update-with-start                   its place, or lost it
//	jobs         job/<name>-<time>                 nothing                            schedules (schedules.go)            one period
//
// Ids are natural keys, so the id is the lock. Only Client and guardian_children.go
// start workflows; only Client knows queues and conflict policies. Children are
// abandoned, never awaited to their end, and found again by their rows: decisions
// are rows first, then children.
//
// Rules that every change must keep. One consumer and one exit in the Guardian; the
// task that ends it carries no answer. Handlers are idempotent by natural key and
// by request. Validators judge form only. A Guardian ends only when its children
// have started. Nothing signals another workflow but by a local step through
// Client. Postgres's clock decides what is late.
//
// Changing a workflow that may be running wants a gate, a constant of gates.go named
// <workflow>.<change>, and a new history in testdata/histories.
package workflows
