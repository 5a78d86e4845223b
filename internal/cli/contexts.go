package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// contexts is the contexts file: the control planes that one works with.
type contexts struct {
	Current  string            `yaml:"current,omitempty"`
	Contexts map[string]target `yaml:"contexts"`
}

func (p *program) contextsFile() (string, error) {
	if p.file != "" {
		return p.file, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("say with --contexts where the contexts file is: %w", err)
	}
	return filepath.Join(dir, "spotkeeper", "contexts.yaml"), nil
}

// loadContexts reads the contexts file. A file that other users may read is
// refused, because its tokens are no longer secrets.
func (p *program) loadContexts() (contexts, error) {
	out := contexts{Contexts: map[string]target{}}
	path, err := p.contextsFile()
	if err != nil {
		if p.file == "" {
			return out, nil //nolint:nilerr // a user without a home has no contexts
		}
		return out, err
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return out, fmt.Errorf("%s holds tokens and may be read by others: chmod 600 %s", path, path)
	}
	content, err := os.ReadFile(path) //nolint:gosec // the user names the file
	if err != nil {
		return out, err
	}
	if err := yaml.UnmarshalWithOptions(content, &out, yaml.Strict()); err != nil {
		return out, fmt.Errorf("%s: %w", path, err)
	}
	if out.Contexts == nil {
		out.Contexts = map[string]target{}
	}
	return out, nil
}

// saveContexts replaces the file in one step.
func (p *program) saveContexts(c contexts) error {
	path, err := p.contextsFile()
	if err != nil {
		return err
	}
	content, err := yaml.Marshal(c)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	beside, err := os.CreateTemp(filepath.Dir(path), ".contexts-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = beside.Write(content)
	if err = errors.Join(err, beside.Close()); err == nil {
		err = os.Rename(beside.Name(), path)
	}
	if err != nil {
		_ = os.Remove(beside.Name())
	}
	return err
}

func (p *program) contexts() *cobra.Command {
	group := &cobra.Command{Use: "context", Short: "Keep the addresses and tokens of control planes"}
	list := &cobra.Command{Use: "list", Short: "List the contexts", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			known, err := p.loadContexts()
			if err != nil {
				return err
			}
			return p.print(c, known.Contexts, func(t *table) {
				t.row("", "NAME", "SERVER", "CLIENT", "DRILLS")
				for _, name := range slices.Sorted(maps.Keys(known.Contexts)) {
					mark := " "
					if name == known.Current {
						mark = "*"
					}
					t.row(mark, name, known.Contexts[name].Server, known.Contexts[name].Client,
						strings.Join(known.Contexts[name].Drills, ","))
				}
			})
		}}
	use := &cobra.Command{Use: "use NAME", Short: "Choose the context of further commands", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completeContexts, RunE: func(_ *cobra.Command, args []string) error {
			return p.changeContexts(args[0], func(known *contexts) { known.Current = args[0] })
		}}
	remove := &cobra.Command{Use: "remove NAME", Short: "Forget a context", Args: cobra.ExactArgs(1),
		ValidArgsFunction: p.completeContexts, RunE: func(_ *cobra.Command, args []string) error {
			return p.changeContexts(args[0], func(known *contexts) {
				delete(known.Contexts, args[0])
				if known.Current == args[0] {
					known.Current = ""
				}
			})
		}}
	group.AddCommand(list, p.setContext(), use, remove)
	return group
}

func (p *program) changeContexts(name string, change func(*contexts)) error {
	known, err := p.loadContexts()
	if err != nil {
		return err
	}
	if _, there := known.Contexts[name]; !there {
		return fmt.Errorf("there is no context %q", name)
	}
	change(&known)
	return p.saveContexts(known)
}

// setContext adds or replaces a context. The token is read from standard input, so
// that neither the list of processes nor the shell's history shows it.
func (p *program) setContext() *cobra.Command {
	stdin := false
	var drills []string
	set := &cobra.Command{Use: "set NAME", Short: "Add or replace a context, and use it", Args: cobra.ExactArgs(1),
		Example: "  spotkeeper context set prod --server https://spotkeeper.example.com --token-stdin < token",
		RunE: func(c *cobra.Command, args []string) error {
			known, err := p.loadContexts()
			if err != nil {
				return err
			}
			t := known.Contexts[args[0]]
			if c.Flags().Changed("server") {
				t.Server = p.target.Server
			}
			if c.Flags().Changed("client") {
				t.Client = p.target.Client
			}
			if c.Flags().Changed("drills") {
				t.Drills = drills
			}
			if t.Server == "" {
				return errors.New("say with --server where the API is")
			}
			if p.target.TokenFile != "" {
				t.Token, t.TokenFile = "", p.target.TokenFile
			}
			if stdin {
				content, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<16))
				if err != nil {
					return err
				}
				t.Token, t.TokenFile = strings.TrimSpace(string(content)), ""
			}
			known.Contexts[args[0]], known.Current = t, args[0]
			return p.saveContexts(known)
		}}
	set.Flags().BoolVar(&stdin, "token-stdin", false, "read the token from standard input")
	set.Flags().StringSliceVar(&drills, "drills", nil, "the agents that drills may be made on, by id or name")
	return set
}

func (p *program) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	known, err := p.loadContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(known.Contexts)), cobra.ShellCompDirectiveNoFileComp
}
