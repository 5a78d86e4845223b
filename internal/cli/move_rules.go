package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

// ruleFlags are the flags of move-rules.
type ruleFlags struct {
	toSpot, toOnDemand, requested, maintenance string

	answerWithin time.Duration
	windows      []string
	anyTime      bool
}

func (p *program) moveRules() *cobra.Command {
	var flags ruleFlags
	c := p.command("move-rules", "Show which voluntary moves of a client are made, asked about or never made, and when; flags change it",
		cobra.NoArgs, func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			if p.target.Client == "" {
				return errors.New("say whose rules: --client")
			}
			rules, err := answer(api.GetMoveRulesWithResponse(c.Context(), p.target.Client))
			if err != nil {
				return err
			}
			changed, err := flags.change(rules)
			if err != nil {
				return err
			}
			if changed {
				rules, err = answer(api.SetMoveRulesWithResponse(c.Context(), p.target.Client, client.SetMoveRulesRequest{
					AnswerMinutes: rules.AnswerMinutes, Policies: &rules.Policies, Windows: &rules.Windows,
				}))
				if err != nil {
					return err
				}
			}
			return p.print(c, rules, func(t *table) { showRules(t, rules) })
		})
	const policy = "auto, ask or never"
	c.Flags().StringVar(&flags.toSpot, "to-spot", "", policy+": an engine's moves to a spot pool")
	c.Flags().StringVar(&flags.toOnDemand, "to-ondemand", "", policy+": an engine's moves to on-demand")
	c.Flags().StringVar(&flags.requested, "requested", "", policy+": moves that a program asks for")
	c.Flags().StringVar(&flags.maintenance, "maintenance", "", policy+": moves before a change that AWS has scheduled")
	c.Flags().DurationVar(&flags.answerWithin, "answer-within", 0, "how long a question waits, as 4h; then the agent stays")
	c.Flags().StringArrayVar(&flags.windows, "window", nil,
		"when moves may begin: five fields of cron, a length and a time zone, as '0 2 * * 1-5 2h Europe/Berlin'; repeat it for more")
	c.Flags().BoolVar(&flags.anyTime, "any-time", false, "moves may begin at any time")
	return c
}

// change puts what the flags say into the rules as they stand, and says whether that is anything.
func (f *ruleFlags) change(rules *client.MoveRulesAnswer) (bool, error) {
	for _, x := range []struct {
		flag string
		rule func(string)
	}{
		{f.toSpot, func(v string) { rules.Policies.ToSpot = client.MovePoliciesToSpot(v) }},
		{f.toOnDemand, func(v string) { rules.Policies.ToOndemand = client.MovePoliciesToOndemand(v) }},
		{f.requested, func(v string) { rules.Policies.Requested = client.MovePoliciesRequested(v) }},
		{f.maintenance, func(v string) { rules.Policies.Maintenance = client.MovePoliciesMaintenance(v) }},
	} {
		if x.flag != "" {
			x.rule(x.flag)
		}
	}
	if f.answerWithin != 0 {
		minutes := int(f.answerWithin.Round(time.Minute) / time.Minute)
		rules.AnswerMinutes = &minutes
	}
	if f.anyTime && len(f.windows) > 0 {
		return false, errors.New("--window and --any-time exclude each other")
	}
	if f.anyTime {
		rules.Windows = []client.MoveWindow{}
	}
	if len(f.windows) > 0 {
		rules.Windows = nil
		for _, text := range f.windows {
			w, err := parseWindow(text)
			if err != nil {
				return false, err
			}
			rules.Windows = append(rules.Windows, w)
		}
	}
	return f.given(), nil
}

func (f *ruleFlags) given() bool {
	return f.toSpot+f.toOnDemand+f.requested+f.maintenance != "" || f.answerWithin != 0 || f.anyTime || len(f.windows) > 0
}

// cronFields is how many fields of a window are its cron expression.
const cronFields = 5

func parseWindow(text string) (client.MoveWindow, error) {
	fields := strings.Fields(text)
	if len(fields) != cronFields+1 && len(fields) != cronFields+2 {
		return client.MoveWindow{}, fmt.Errorf(
			"--window takes five fields of cron, a length and perhaps a time zone, as '0 2 * * 1-5 2h Europe/Berlin', not %q", text)
	}
	length, err := time.ParseDuration(fields[cronFields])
	if err != nil {
		return client.MoveWindow{}, fmt.Errorf("the length of a window is as 90m or 2h, not %q", fields[cronFields])
	}
	w := client.MoveWindow{Cron: strings.Join(fields[:cronFields], " "), Minutes: int(length.Round(time.Minute) / time.Minute)}
	if len(fields) > cronFields+1 {
		w.Zone = fields[cronFields+1]
	}
	return w, nil
}

func showRules(t *table, r *client.MoveRulesAnswer) {
	t.row("to spot", r.Policies.ToSpot)
	t.row("to on-demand", r.Policies.ToOndemand)
	t.row("requested", r.Policies.Requested)
	t.row("maintenance", r.Policies.Maintenance)
	if r.AnswerMinutes != nil {
		t.row("answer within", strconv.Itoa(*r.AnswerMinutes)+" minutes")
	}
	for _, w := range r.Windows {
		zone := w.Zone
		if zone == "" {
			zone = "UTC"
		}
		t.row("window", fmt.Sprintf("%s, %d minutes, %s", w.Cron, w.Minutes, zone))
	}
	if r.OpensAt != nil {
		t.row("opens at", *r.OpensAt)
	}
}
