package pages

import (
	"encoding/csv"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
)

type savingsExportRequest struct {
	web.ClientPath
	Months *int `json:"-" form:"months" binding:"omitempty,min=1,max=120" doc:"so many, the present one among them; 12 by default"`
}

// savingsColumns head the export. Amounts are in the currency of the line.
var savingsColumns = []string{"month", "provisional", "agent", "agent_id", "instance_id", "instance_type", "region",
	"zone", "mode", "seconds", "seconds_as_primary", "seconds_without_price", "currency", "on_demand_baseline",
	"cost_as_primary", "cost_beside", "savings", "product", "cost_of_volumes_beside"}

// exportSavings writes a client's months line by line. The sums of the lines are the months'
// figures; a negative saving is what a standby or double running has cost.
func (p *ClientPages) exportSavings(c *gin.Context, in *savingsExportRequest) error {
	months := web.ValueOr(in.Months, 12)
	now := p.Now().UTC()
	since := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, 1-months, 0)
	lines, err := p.Views.SavingsLines(c.Request.Context(), in.ClientID, since)
	if err != nil {
		return err
	}
	c.Header("Content-Type", "text/csv; charset=utf-8")
	c.Header("Content-Disposition", `attachment; filename="savings-`+now.Format("2006-01")+`.csv"`)
	c.Status(http.StatusOK)
	out := csv.NewWriter(c.Writer)
	_ = out.Write(savingsColumns) // the caller may be gone: Flush notes it
	for _, l := range lines {
		_ = out.Write([]string{l.Month, strconv.FormatBool(l.Provisional), cell(l.Agent), cell(l.AgentID),
			cell(l.InstanceID), cell(l.InstanceType), cell(l.Region), cell(l.AZ), l.Mode, l.Seconds, l.PrimarySeconds,
			l.UnpricedSeconds, l.Currency, l.Baseline, l.PrimaryCost, l.BesideCost, l.Savings, cell(l.Product),
			l.VolumeCost})
	}
	out.Flush()
	return nil
}

// cell keeps a spreadsheet from taking a name that an agent has chosen for a formula.
func cell(s string) string {
	begins := strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) })
	if begins != s || strings.IndexAny(begins, "=+-@＝＋－＠") == 0 {
		return "'" + s
	}
	return s
}
