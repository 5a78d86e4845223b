package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/agnivade/levenshtein"
	"github.com/caarlos0/env/v11"
)

// temporalNames are the variables that the Temporal SDK reads by itself.
// Source: go.temporal.io/sdk/contrib/envconfig.
var temporalNames = []string{
	"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "TEMPORAL_TLS",
	"TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_CERT_DATA",
	"TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_CLIENT_KEY_DATA",
	"TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_DATA",
	"TEMPORAL_TLS_SERVER_NAME", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION",
	"TEMPORAL_CODEC_ENDPOINT", "TEMPORAL_CODEC_AUTH", "TEMPORAL_CONFIG_FILE", "TEMPORAL_PROFILE",
}

// byVariable names the environment variable of each value that cannot be read, where
// the parser names fields of structs.
func byVariable(err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	var problems []error
	for _, problem := range all.Errors {
		var parse env.ParseError
		if !errors.As(problem, &parse) {
			problems = append(problems, problem)
			continue
		}
		problems = append(problems, fmt.Errorf("%s cannot be read: %w", variableOf(parse), parse.Err))
	}
	return errors.Join(problems...)
}

// variableOf finds the variable of a field that could not be parsed.
func variableOf(parse env.ParseError) string {
	variable := parse.Name
	settings(func(name, _ string, f reflect.StructField) {
		if f.Name == parse.Name && f.Type == parse.Type {
			variable = name
		}
	})
	return variable
}

// furthest is how many letters of a variable's name may differ from a setting's for it
// to be taken for a mistake.
const furthest = 2

// Misspelt returns one sentence for each variable in environ (NAME=value) whose name is
// nearly that of a setting. Short names are not compared, since many are alike.
func Misspelt(environ []string) (sentences []string) {
	known := append(VariableNames(), temporalNames...)
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(known, name) || len(name) < 8 {
			continue
		}
		for _, setting := range known {
			if levenshtein.ComputeDistance(name, setting) <= furthest {
				sentences = append(sentences, fmt.Sprintf("%s is not a setting: is %s meant?", name, setting))
				break
			}
		}
	}
	return sentences
}

// WarnOfMisspelt logs each variable of the process whose name is nearly that of a
// setting.
func WarnOfMisspelt(ctx context.Context, log *slog.Logger) {
	for _, sentence := range Misspelt(os.Environ()) {
		log.WarnContext(ctx, "a setting may be misspelt", "problem", sentence)
	}
}

// PrintUsage writes the settings of a program when args ask for help, and refuses all
// other arguments.
func PrintUsage(w io.Writer, program string, args []string) error {
	if !slices.Contains([]string{"-h", "--help", "help"}, args[0]) {
		return fmt.Errorf("%q is no argument of %s: settings are environment variables, see --help", args[0], program)
	}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "usage: %s\n\nSettings are environment variables:\n\n", program)
	settings(func(name, _ string, f reflect.StructField) {
		fmt.Fprintf(out, "  %s\t%s\t%s\n", name, f.Tag.Get("envDefault"), f.Tag.Get("doc"))
	})
	return out.Flush()
}
