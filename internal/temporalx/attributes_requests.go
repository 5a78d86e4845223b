package temporalx

import (
	"slices"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/schedule/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"
)

// attributesOf lists the names of the search attributes in a request.
func attributesOf(in any) []string {
	var names []string
	for _, s := range setsOf(in) {
		for name := range s.GetIndexedFields() {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// without is the request without some search attributes. The original stays as it
// is: its sender may send it again.
func without(in any, names []string) any {
	message, ok := in.(proto.Message)
	if !ok || len(names) == 0 {
		return in
	}
	message = proto.Clone(message)
	for _, s := range setsOf(message) {
		for _, name := range names {
			delete(s.GetIndexedFields(), name)
		}
	}
	return message
}

// setsOf finds the search attributes in every request that can have some.
func setsOf(in any) []*common.SearchAttributes {
	switch r := in.(type) {
	case *workflowservice.StartWorkflowExecutionRequest:
		return []*common.SearchAttributes{r.GetSearchAttributes()}
	case *workflowservice.SignalWithStartWorkflowExecutionRequest:
		return []*common.SearchAttributes{r.GetSearchAttributes()}
	case *workflowservice.ExecuteMultiOperationRequest: // an update that starts its workflow
		var all []*common.SearchAttributes
		for _, o := range r.GetOperations() {
			all = append(all, o.GetStartWorkflow().GetSearchAttributes())
		}
		return all
	case *workflowservice.CreateScheduleRequest:
		return append(ofSchedule(r.GetSchedule()), r.GetSearchAttributes())
	case *workflowservice.UpdateScheduleRequest:
		return append(ofSchedule(r.GetSchedule()), r.GetSearchAttributes())
	case *workflowservice.RespondWorkflowTaskCompletedRequest:
		var all []*common.SearchAttributes
		for _, c := range r.GetCommands() {
			all = append(all, c.GetStartChildWorkflowExecutionCommandAttributes().GetSearchAttributes(),
				c.GetContinueAsNewWorkflowExecutionCommandAttributes().GetSearchAttributes(),
				c.GetUpsertWorkflowSearchAttributesCommandAttributes().GetSearchAttributes())
		}
		return all
	}
	return nil
}

func ofSchedule(s *schedule.Schedule) []*common.SearchAttributes {
	return []*common.SearchAttributes{s.GetAction().GetStartWorkflow().GetSearchAttributes()}
}
