package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"spotkeeper/internal/cli/client"
)

func (p *program) clients() *cobra.Command {
	list := p.command("clients", "List clients, make one, or show its AWS account", cobra.NoArgs,
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
	account := p.command("account CLIENT", "Show the role and the external id that a client's account needs", cobra.ExactArgs(1),
		func(c *cobra.Command, api *client.ClientWithResponses, args []string) error {
			a, err := answer(api.ShowClientAccountWithResponse(c.Context(), args[0]))
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
	list.AddCommand(p.createClient(), account)
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
