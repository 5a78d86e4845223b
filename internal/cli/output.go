package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"spotkeeper/internal/domain/plaintext"
)

// formats are what -o takes.
var formats = []string{"table", "json", "yaml"}

func checkFormat(format string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	return fmt.Errorf("-o takes table, json or yaml, not %q", format)
}

// print writes an answer of the API: as the API gives it, or as a table for people.
func (p *program) print(c *cobra.Command, answer any, rows func(t *table)) error {
	if p.format == "table" {
		t := &table{w: tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)}
		rows(t)
		return t.w.Flush()
	}
	body, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		return err
	}
	if p.format == "yaml" {
		if body, err = yaml.JSONToYAML(body); err != nil {
			return err
		}
	}
	_, err = io.WriteString(c.OutOrStdout(), strings.TrimSuffix(string(body), "\n")+"\n")
	return err
}

// table aligns columns. Cells are words of the API, which may hold anything.
type table struct{ w *tabwriter.Writer }

func (t *table) row(cells ...any) {
	words := make([]string, len(cells))
	for i, c := range cells {
		words[i] = clean(cell(c))
	}
	_, _ = fmt.Fprintln(t.w, strings.TrimRight(strings.Join(words, "\t"), " \t"))
}

// clean keeps what a stored name could do to a terminal or to the columns out of both.
func clean(s string) string { return plaintext.CleanLine(s) }

func cell(v any) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case *time.Time:
		if v == nil {
			return "-"
		}
		return at(*v)
	case time.Time:
		return at(v)
	case *float32:
		if v == nil {
			return "-"
		}
		return fmt.Sprintf("%.4g", *v)
	case float32:
		return fmt.Sprintf("%.4g", v)
	case *string:
		if v == nil || *v == "" {
			return "-"
		}
		return *v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	}
	if s := fmt.Sprint(v); s != "" {
		return s
	}
	return "-"
}

// at shows a time in the zone of the API's own answers.
func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
