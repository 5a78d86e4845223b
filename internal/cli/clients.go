package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

func (p *program) clients() *cobra.Command {
	list := p.command("clients", "List clients, make one, show or change its AWS account, let instances join", cobra.NoArgs,
		func(c *cobra.Command, api *client.ClientWithResponses, _ []string) error {
			all, err := answer(api.ListClientsWithResponse(c.Context(), nil))
			if err != nil {
				return err
			}
			return p.print(c, all, func(t *table) {
				t.row("NAME", "STATUS", "AGENTS", "ONLINE", "INSTANCES", "SAVED USD", "ID")
				for _, x := range *all {
					t.row(x.Name, x.Status, x.AgentsTotal, x.AgentsOnline, x.Instances, money(x.TotalSavings), x.Id)
				}
			})
		})
	list.AddCommand(p.createClient(), p.clientAccount(), p.enrol())
	return list
}

func (p *program) createClient() *cobra.Command {
	var role, account, launcher string
	var own bool
	c := p.command("create NAME", "Make a client and show its token", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			if own && role != "" {
				return errors.New("--own-account and --role exclude each other")
			}
			made, err := answer(api.CreateClientWithResponse(c.Context(), client.CreateClientRequest{
				Name: &args[0], RoleArn: given[string](role), AccountId: given[string](account), OwnAccount: &own,
				Launcher: given[client.CreateClientRequestLauncher](launcher)}))
			if err != nil {
				return err
			}
			return p.print(c, made.Client, func(t *table) {
				t.row("client", made.Client.Name+" "+made.Client.Id)
				t.row("token", made.Client.Token)
				t.row("external id", made.Client.ExternalId)
			})
		})
	c.Flags().StringVar(&role, "role", "", "ARN of the role to assume in the client's account; it may be given later")
	c.Flags().StringVar(&account, "account", "", "the client's AWS account, twelve digits")
	c.Flags().BoolVar(&own, "own-account", false, "the client lives in the control plane's account")
	c.Flags().StringVar(&launcher, "launcher", "", "control-plane or agent")
	return c
}

func (p *program) clientAccount() *cobra.Command {
	var role, account string
	var own bool
	c := p.command("account CLIENT", "Show the role and the external id that a client's account needs, or change the account",
		cobra.ExactArgs(1), func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			if own && role != "" {
				return errors.New("--own-account and --role exclude each other")
			}
			id, err := findClient(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			if own || role != "" || account != "" {
				_, err := answer(api.ChangeClientAccountWithResponse(c.Context(), id, client.ChangeAccountRequest{
					RoleArn: given[string](role), AccountId: given[string](account), OwnAccount: &own}))
				if err != nil {
					return err
				}
			}
			a, err := answer(api.ShowClientAccountWithResponse(c.Context(), id))
			if err != nil {
				return err
			}
			return p.print(c, a, func(t *table) {
				t.row("client", a.ClientId)
				t.row("account", a.AccountId)
				t.row("role", a.RoleArn)
				t.row("own account", a.OwnAccount)
				t.row("external id", a.ExternalId)
				t.row("unproven instances", a.Unproven)
			})
		})
	c.Flags().StringVar(&role, "role", "", "ARN of the role to assume in the client's account from now on")
	c.Flags().StringVar(&account, "account", "", "the client's AWS account, twelve digits; that of the role by default")
	c.Flags().BoolVar(&own, "own-account", false, "the client lives in the control plane's account from now on")
	return c
}

// enrol prints a token that instances join with, and nothing else: it is piped to
// spotkeeper-agent enrol or to install.sh.
func (p *program) enrol() *cobra.Command {
	var agent string
	ttl, uses := 15*time.Minute, 1
	c := p.command("enrol CLIENT", "Make a token that instances of a client join with", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			id, err := findClient(c.Context(), api, args[0])
			if err != nil {
				return err
			}
			seconds := int(ttl.Seconds())
			made, err := created(api.CreateCredentialWithResponse(c.Context(), id, client.CreateCredentialRequest{
				Kind: client.CreateCredentialRequestKindEnrolment, LogicalAgentId: given[string](agent),
				TtlSeconds: &seconds, Uses: &uses}))
			if err != nil {
				return err
			}
			if p.format != "table" {
				return p.print(c, made, nil)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), made.Token)
			return err
		})
	c.Flags().StringVar(&agent, "agent", "", "the only agent that may join with it; any by default")
	c.Flags().DurationVar(&ttl, "ttl", ttl, "how long instances may join with it")
	c.Flags().IntVar(&uses, "uses", uses, "how many instances may join with it")
	return c
}

// findClient takes a client's id or its name.
func findClient(ctx context.Context, api *client.ClientWithResponses, name string) (string, error) {
	all, err := answer(api.ListClientsWithResponse(ctx, nil))
	if r, ok := errors.AsType[*refused](err); ok && r.status == http.StatusForbidden {
		return name, nil // a tenant lists no clients, and names itself by its id
	}
	if err != nil {
		return "", err
	}
	for _, x := range *all {
		if x.Id == name || x.Name == name {
			return x.Id, nil
		}
	}
	return "", fmt.Errorf("there is no client %s: spotkeeper clients lists them", name)
}
