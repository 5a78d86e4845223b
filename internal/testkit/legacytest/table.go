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

// LoadTable reads every table row of a Markdown file whose first cell is a route.
func LoadTable(path string) (Table, error) {
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out Table
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 4 || !strings.Contains(cells[0], " /") {
			continue
		}
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		out = append(out, Row{Route: cells[0], Case: cells[1], Status: cells[2], Reason: cells[3]})
	}
	return out, nil
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
