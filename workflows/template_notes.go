package workflows

import (
	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
)

// TemplateNotes notes what each new primary was launched with, within seconds of
// its registration.
func TemplateNotes(ctx workflow.Context, in JobInput) (*JobResult, error) {
	var templates *activities.Templates
	return runJob[activities.NoteTemplatesResult](ctx, "template-notes", in, jobPolicy, templates.NoteTemplates)
}
