// Package workflows carries out decisions and keeps their progress. Its code is
// replayed, so it reads no clock, does no I/O and ranges over no map.
//
//	workflow     id; messages; who starts it; how long it runs
//	Guardian     guardian/<agent>; eight updates, wake, state; any message, by update- or
//	             signal-with-start, and the sweep; one decision and a second
//	Replica      replica/<replica>; news, report, cancel, progress; the Guardian, a Switch
//	             and the sweep; from the choice of a pool to promotion or retirement
//	Switch       switch/<command>; news, cancel, progress; the Guardian and the sweep;
//	             minutes, and as long as the old instance is kept
//	AgentSwitch  switch/<command> or switch/<new instance>; news, cancel, progress; the
//	             Guardian, an agent's report and the sweep; until the agent has moved
//	Termination  termination/<agent>/<instance>; news, progress; the door of the notice
//	             after its answer, the Guardian and the sweep; until AWS took the instance
//	Promotion    promotion/<replica>; news, cancel, progress; the Guardian and the sweep;
//	             until the old instance ended
//	Removal      removal/<agent>; progress; the Guardian and the sweep; until what the
//	             control plane launched ended
//	Adoption     adoption/<instance>; news, progress; the sweep; until EC2 has confirmed
//	             the instance, three days at most
//	ModelRollout model-rollout/<session>; begin, promote, pause, resume, abort, rollback,
//	             nudge, progress; StartRollout by update-with-start, and the sweep; until
//	             the session has earned its place, or lost it
//	jobs         job/<name>-<time>; nothing; schedules (schedules.go); one period
//
// ModelRollout is in the package rollout, the jobs are in the package jobs; both share
// how steps are run with this package through the package steps. The workflows about
// one agent stay together here, because they share its roles, its operation's page and
// each other's messages.
//
// Ids are natural keys, so the id is the lock. Only Client starts workflows and knows
// queues and conflict policies. A workflow has no children: a decision opens a row,
// and the row's workflow is started through Client by the decider, or by the sweep
// of open rows (activities.OpenRows) when that start was lost.
//
// Rules that every change must keep. A workflow reads its row when it begins and goes
// on from there, so that it may be started late, and again. Its row stays open until
// it has written its end. A message carries no fact: its receiver reads its row. The
// report to a Replica is the one exception. Nothing signals another workflow but by a
// local step through Client. One consumer and one exit in the Guardian; the task that
// ends it carries no answer. Handlers are idempotent by natural key and by request.
// Validators judge form only. Postgres's clock decides what is late.
//
// A change that running workflows cannot replay needs workflow.GetVersion and a new
// history in testdata/histories.
package workflows
