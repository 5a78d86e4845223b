package legacytest

import (
	"os"
	"strconv"
	"strings"
)

// Row is one line of the table of meant differences.
type Row struct {
	Route  string
	Case   string // * for every case of the route that no row above names
	Status string // = keeps the recorded one
	Reason string
}

// Table are the rows in their order: the first that fits decides.
type Table []Row

// LoadTable reads every table row of a Markdown file whose first cell is a route,
// and before them those whose first cell is the launcher and whose second is a
// route: they hold with this launcher alone.
func LoadTable(path, launcher string) (Table, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var own, out Table
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		switch {
		case len(cells) >= 4 && strings.Contains(cells[0], " /"):
			out = append(out, Row{Route: cells[0], Case: cells[1], Status: cells[2], Reason: cells[3]})
		case len(cells) >= 5 && launcher != "" && cells[0] == launcher:
			own = append(own, Row{Route: cells[1], Case: cells[2], Status: cells[3], Reason: cells[4]})
		}
	}
	return append(own, out...), nil
}

// Find returns the index of the row for a recording, or -1.
func (t Table) Find(r Recording) int {
	for i, row := range t {
		if row.Route == r.Route && (row.Case == "*" || row.Case == r.Case) {
			return i
		}
	}
	return -1
}

// Allows says whether the row permits the status.
func (row Row) Allows(r Recording, status int) bool {
	if row.Status == "=" {
		return status == r.Status
	}
	return row.Status == strconv.Itoa(status)
}
