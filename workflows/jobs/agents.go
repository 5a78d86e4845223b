package jobs

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/workflows/steps"
)

// AgentHealth marks agents offline that have been silent for too long, and notifies
// their clients, once per silence. Then it marks the instances retired that agents
// left and that have gone.
func AgentHealth(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var agents *activities.Agents
	return runJob[activities.SilenceResult](ctx, "agent-health", in, steps.JobPolicy, agents.MarkSilentAgents,
		activities.SilenceInput{})
}

// PrimaryWatch notes what each new primary was launched with, and replaces
// primaries that ended without a notice.
func PrimaryWatch(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var primaries *activities.Primaries
	return runJob[activities.WatchPrimariesResult](ctx, "primary-watch", in, steps.JobPolicy, primaries.WatchPrimaries,
		activities.WatchPrimariesInput{})
}

// StandbyWatch fails the standbys whose instances have stopped or ended.
func StandbyWatch(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var standbys *activities.Standbys
	return runJob[activities.WatchStandbysResult](ctx, "standby-watch", in, steps.JobPolicy, standbys.WatchStandbys)
}

// TemplateNotes notes what each new primary was launched with, within seconds of
// its registration.
func TemplateNotes(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var templates *activities.Templates
	return runJob[activities.NoteTemplatesResult](ctx, "template-notes", in, steps.JobPolicy, templates.NoteTemplates)
}

// OrphanSweep ends the instances of ours that cost money and that nothing needs,
// after two sightings. It is the second line behind the compensation of each
// operation, so each find is worth a look.
func OrphanSweep(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var orphans *activities.Orphans
	return runJob[activities.SweepResult](ctx, "orphan-sweep", in, steps.JobPolicy, orphans.SweepOrphans,
		activities.SweepInput{})
}

// FleetDecisions has the engine judge every agent in auto mode, and orders the
// moves that it decides on, within the limits.
func FleetDecisions(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var decisions *activities.Decisions
	return runJob[activities.JobCounts](ctx, "fleet-decisions", in, steps.JobPolicy, decisions.DecideFleet,
		activities.DecideFleetInput{Period: periodOf(ctx, in)})
}
