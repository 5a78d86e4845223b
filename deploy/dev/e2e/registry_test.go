package e2e

import (
	"fmt"
	"slices"

	"spotkeeper/internal/testkit/histories"
	"spotkeeper/workflows"
)

// scheduled are the ids of the product's schedules.
func scheduled() []string {
	var ids []string
	for _, s := range workflows.Schedules(queueOfStack) {
		ids = append(ids, s.ID)
	}
	return ids
}

// missing are the workflows of which nothing was recorded.
func missing(kept map[string]int) []string {
	return slices.DeleteFunc(histories.Registered(workflows.Register), func(kind string) bool { return kept[kind] > 0 })
}

// missingOf prints what is missing at last.
type missingOf struct{ kept *map[string]int }

func (m missingOf) String() string { return fmt.Sprint(missing(*m.kept)) }
