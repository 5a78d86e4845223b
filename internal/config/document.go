package config

import (
	"fmt"
	"reflect"
	"strings"
)

// settings walks over every setting in the order of Config, with its variable's name and
// flags such as required.
func settings(each func(name, flags string, f reflect.StructField)) {
	sections := reflect.TypeFor[Config]()
	for i := range sections.NumField() {
		section := sections.Field(i).Type
		for j := range section.NumField() {
			field := section.Field(j)
			name, flags, _ := strings.Cut(field.Tag.Get("env"), ",")
			each(name, flags, field)
		}
	}
}

// VariableNames lists the variables that configure the product.
func VariableNames() (names []string) {
	settings(func(name, _ string, _ reflect.StructField) { names = append(names, name) })
	return names
}

// Document renders every setting as a Markdown table; docs/config.md is its
// golden file.
func Document() string {
	var b strings.Builder
	b.WriteString(
		"# Configuration\n\nEvery setting is an environment variable. Temporal's address and credentials are the standard `TEMPORAL_*` variables\n" +
			"(`TEMPORAL_ADDRESS`, `TEMPORAL_NAMESPACE`, `TEMPORAL_API_KEY`, `TEMPORAL_TLS_*`), AWS credentials the SDK's own chain.\n\n" +
			"| variable | default | what it is |\n|---|---|---|\n",
	)
	settings(func(name, flags string, f reflect.StructField) {
		def := f.Tag.Get("envDefault")
		switch {
		case strings.Contains(flags, "required"):
			def = "**required**"
		case def != "":
			def = "`" + def + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, def, f.Tag.Get("doc"))
	})
	return b.String()
}
