package compose_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
)

const directory = "../../compose"

func load(t *testing.T, environment ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{directory + "/compose.yaml"}, cli.WithWorkingDirectory(directory),
		cli.WithEnv(environment), cli.WithInterpolation(true), cli.WithResolvedPaths(true))
	require.NoError(t, err)
	return options.LoadProject(t.Context())
}

var secrets = []string{"POSTGRES_PASSWORD=a", "MIGRATE_PASSWORD=migrate", "APP_PASSWORD=app", "TEMPORAL_PASSWORD=d",
	"ADMIN_TOKEN=e", "SECRET_KEY=f"}

// TestSecretsAreRequired: there is no default password.
func TestSecretsAreRequired(t *testing.T) {
	t.Parallel()
	for n, missing := range secrets {
		name, _, _ := strings.Cut(missing, "=")
		_, err := load(t, slices.Delete(slices.Clone(secrets), n, n+1)...)
		require.ErrorContains(t, err, name)
	}
	script, err := os.ReadFile(directory + "/secrets.sh")
	require.NoError(t, err)
	for _, s := range secrets {
		name, _, _ := strings.Cut(s, "=")
		require.Contains(t, string(script), name)
	}
}

// TestNothingButTheWebServerIsReachable from another machine; the database and Temporal are
// on networks without a way out.
func TestNothingButTheWebServerIsReachable(t *testing.T) {
	t.Parallel()
	p, err := load(t, secrets...)
	require.NoError(t, err)
	for name, s := range p.Services {
		for _, port := range s.Ports {
			require.True(t, name == "web" || port.HostIP == "127.0.0.1", "%s publishes %s", name, port.Published)
		}
	}
	for _, name := range []string{"data", "control", "inside"} {
		require.True(t, p.Networks[name].Internal, name)
	}
	require.Equal(t, []string{"data"}, keys(p.Services["postgres"].Networks))
	require.Empty(t, p.Services["postgres"].Ports)
	require.NotContains(t, keys(p.Services["web"].Networks), "data")
}

// TestTheAPIBelievesTheWebServerAlone: X-Forwarded-For counts from the network that the two
// share, and from no other.
func TestTheAPIBelievesTheWebServerAlone(t *testing.T) {
	t.Parallel()
	p, err := load(t, secrets...)
	require.NoError(t, err)
	inside := p.Networks["inside"].Ipam.Config
	require.Len(t, inside, 1)
	require.Equal(t, inside[0].Subnet, *p.Services["api"].Environment["TRUSTED_PROXIES"])
	for name, service := range p.Services {
		if _, there := service.Networks["inside"]; there {
			require.Contains(t, []string{"api", "web"}, name)
		}
	}
}

func keys(m map[string]*types.ServiceNetworkConfig) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TestEveryPartSpeaksTLS and has a role of its own at the database.
func TestEveryPartSpeaksTLS(t *testing.T) {
	t.Parallel()
	p, err := load(t, secrets...)
	require.NoError(t, err)
	env := func(service, name string) string {
		value := p.Services[service].Environment[name]
		require.NotNil(t, value, "%s %s", service, name)
		return *value
	}
	for service, role := range map[string]string{"migrate": "spotkeeper_migrate:migrate", "worker": "spotkeeper_app:app",
		"api": "spotkeeper_app:app"} {
		url := env(service, "DATABASE_URL")
		require.True(t, strings.HasPrefix(url, "postgres://"+role+"@postgres:5432/spotkeeper?sslmode=verify-full&"), url)
		if service != "migrate" {
			require.Equal(t, "true", env(service, "TEMPORAL_TLS"))
			require.Contains(t, env(service, "TEMPORAL_TLS_CLIENT_KEY_PATH"), "/certs/")
		}
	}
	require.Equal(t, "true", env("temporal", "SQL_TLS_ENABLED"))
	require.Equal(t, "true", env("temporal", "SQL_HOST_VERIFICATION"))
	require.Equal(t, "true", env("temporal", "TEMPORAL_TLS_REQUIRE_CLIENT_AUTH"))
	require.Contains(t, strings.Join(p.Services["postgres"].Command, " "), "ssl=on")
	hba, err := os.ReadFile(directory + "/pg_hba.conf")
	require.NoError(t, err)
	for line := range strings.Lines(string(hba)) {
		plain := strings.HasPrefix(line, "host ") && !strings.Contains(line, "127.0.0.1")
		require.False(t, plain || strings.Contains(line, "trust"), line)
	}
}

// TestPartsAreConfigured: settings are those that exist, files are there, images have a
// version, and what waits waits for something that says when it is well.
func TestPartsAreConfigured(t *testing.T) {
	t.Parallel()
	p, err := load(t, secrets...)
	require.NoError(t, err)
	for name, s := range p.Services {
		_, tag, _ := strings.Cut(s.Image[strings.LastIndex(s.Image, "/")+1:], ":")
		require.True(t, tag != "" && tag != "latest", "%s: %s", name, s.Image)
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				_, err := os.Stat(v.Source)
				require.NoError(t, err)
			}
		}
		for on, how := range s.DependsOn {
			if how.Condition == types.ServiceConditionHealthy {
				require.NotNil(t, p.Services[on].HealthCheck, "%s waits for the health of %s", name, on)
			}
		}
		if name != "api" && name != "worker" && name != "migrate" {
			continue
		}
		require.True(t, s.ReadOnly)
		require.Equal(t, []string{"ALL"}, s.CapDrop)
		for variable := range s.Environment {
			known := slices.Contains(config.VariableNames(), variable) ||
				strings.HasPrefix(variable, "TEMPORAL_") ||
				strings.HasPrefix(variable, "AWS_")
			require.True(t, known, "%s has no setting %s", name, variable)
			require.Empty(t, config.Misspelt([]string{variable + "="}))
		}
	}
}
