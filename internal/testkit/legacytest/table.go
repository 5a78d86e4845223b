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

// LoadTable reads every table row of a Markdown file whose first cell is a route. A row
// whose fifth cell names a launcher holds with this launcher alone, and decides before
// the others.
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
		if len(cells) < 4 || !strings.Contains(cells[0], " /") {
			continue
		}
		row := Row{Route: cells[0], Case: cells[1], Status: cells[2], Reason: cells[3]}
		switch {
		case len(cells) == 4:
			out = append(out, row)
		case launcher != "" && cells[4] == launcher:
			own = append(own, row)
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
