package pages

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

const (
	// mostExported bounds one table. What is older is read by the Link header.
	mostExported = 100_000
	// exportedAtOnce bounds what is held of it.
	exportedAtOnce = 1000
	exportPageTime = 20 * time.Second // to read a part, and to send it
)

type exportEventsRequest struct {
	eventChoice
}

var eventColumns = []string{"id", "at", "type", "severity", "actor", "message", "client_id", "client_name", "agent_id",
	"agent_name", "metadata"}

// exportEvents writes what the filter chooses, part by part, so that a table of any length
// takes the memory of one part. When there is more than mostExported, the header Link has
// the address of the next table. A failure after the first part cuts the connection: a table
// that ends early must not look whole.
func (c *Console) exportEvents(g *gin.Context, in *exportEventsRequest) error {
	filter := in.filter(g.Request.Context())
	filter.Limit = exportedAtOnce
	part, err := c.eventPart(g.Request.Context(), filter)
	if err != nil {
		return err
	}
	next := int64(0)
	if len(part) == exportedAtOnce {
		filter.Before = part[0].ID + 1 // what happens meanwhile is of no table
		if next, err = c.eventAfter(g.Request.Context(), filter); err != nil {
			return err
		}
	}
	g.Header("Content-Type", "text/csv; charset=utf-8")
	g.Header("Content-Disposition", `attachment; filename="audit-`+c.Now().UTC().Format(time.DateOnly)+`.csv"`)
	if next > 0 {
		address := *g.Request.URL
		query := address.Query()
		query.Set("before", strconv.FormatInt(next+1, 10))
		address.RawQuery = query.Encode()
		g.Header("Link", fmt.Sprintf(`<%s>; rel="next"`, address.RequestURI()))
	}
	g.Status(http.StatusOK)
	out, control := csv.NewWriter(g.Writer), http.NewResponseController(g.Writer)
	_ = out.Write(eventColumns) // the caller may be gone: Flush notes it
	for sent := 0; ; {
		_ = control.SetWriteDeadline(time.Now().Add(exportPageTime)) // a recorder of tests has none
		for _, e := range part {
			_ = out.Write(eventRow(e))
		}
		out.Flush()
		if sent += len(part); len(part) < exportedAtOnce || sent >= mostExported {
			return nil
		}
		if out.Error() != nil {
			return nil //nolint:nilerr // the caller went away
		}
		filter.Before = part[len(part)-1].ID
		if part, err = c.eventPart(g.Request.Context(), filter); err != nil || !web.StillAllowed(g) {
			web.LoggerOf(g).WarnContext(g.Request.Context(), "an export was cut", "rows", sent, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
}

func (c *Console) eventPart(ctx context.Context, f views.EventFilter) ([]views.EventView, error) {
	ctx, cancel := context.WithTimeout(ctx, exportPageTime)
	defer cancel()
	return c.Views.EventLog(ctx, f)
}

func (c *Console) eventAfter(ctx context.Context, f views.EventFilter) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, exportPageTime)
	defer cancel()
	return c.Views.EventAfter(ctx, f, mostExported)
}

func eventRow(e views.EventView) []string {
	return []string{
		strconv.FormatInt(e.ID, 10), e.At.UTC().Format("2006-01-02T15:04:05.000Z07:00"), cell(e.Type), e.Severity,
		cell(e.Actor), cell(e.Message), cell(web.ValueOr(e.ClientID, "")), cell(web.ValueOr(e.ClientName, "")),
		cell(web.ValueOr(e.AgentID, "")), cell(web.ValueOr(e.AgentName, "")), string(e.Metadata),
	}
}
