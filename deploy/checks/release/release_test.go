package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

const repo = "../../.."

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(repo, path))
	require.NoError(t, err)
	return string(content)
}

type goreleaser struct {
	Version int
	Builds  []struct {
		ID, Main, Binary         string
		Env, Goos, Goarch, Flags []string
		Ldflags                  []string
		ModTimestamp             string `json:"mod_timestamp"`
	}
	Archives []struct {
		ID           string
		IDs, Files   []string
		NameTemplate string `json:"name_template"`
	}
}

// TestGoreleaserAndTheScriptAgree on programs, flags, architectures and what archives have.
func TestGoreleaserAndTheScriptAgree(t *testing.T) {
	t.Parallel()
	var g goreleaser
	require.NoError(t, yaml.Unmarshal([]byte(read(t, ".goreleaser.yaml")), &g))
	script := read(t, "deploy/release.sh")
	require.Equal(t, 2, g.Version)
	require.Len(t, g.Builds, 4)
	for _, b := range g.Builds {
		require.Equal(t, []string{"CGO_ENABLED=0"}, b.Env)
		systems := []string{"linux"}
		if b.ID == "cli" {
			systems = append(systems, "darwin")
		}
		require.Equal(t, systems, b.Goos)
		require.Equal(t, []string{"amd64", "arm64"}, b.Goarch)
		require.NotEmpty(t, b.ModTimestamp)
		flags := strings.ReplaceAll(b.Ldflags[0], "{{ .Env.AGENT_VERSION }}", "$AGENT_VERSION")
		require.Contains(t, script, `go build `+b.Flags[0]+` -ldflags "`+flags+`" -o "$bin/`+b.Binary+`" `+b.Main)
		entries, err := filepath.Glob(filepath.Join(repo, b.Main, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, entries)
	}
	for _, a := range g.Archives {
		name := strings.NewReplacer("{{ .Version }}", "${version}", "{{ .Env.AGENT_VERSION }}", "${AGENT_VERSION}", "{{ .Arch }}", "$arch").
			Replace(a.NameTemplate)
		for _, system := range []string{"linux", "darwin"} {
			if strings.Contains(name, "{{ .Os }}") || system == "linux" {
				require.Contains(t, script, `archive "`+strings.ReplaceAll(name, "{{ .Os }}", system)+`"`)
			}
		}
		for _, f := range a.Files {
			found, err := filepath.Glob(filepath.Join(repo, f))
			require.NoError(t, err)
			require.NotEmpty(t, found, f)
			require.Contains(t, script, strings.TrimSuffix(f, "/*"))
		}
	}
}

// TestPackagesHaveWhatIsThere: each file that nfpm packs exists, and scripts parse.
func TestPackagesHaveWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, file := range regexp.MustCompile(`(?:deploy|docs)/[\w./-]+`).FindAllString(read(t, "deploy/control-plane/nfpm.yaml"), -1) {
		_, err := os.Stat(filepath.Join(repo, file))
		require.NoError(t, err)
	}
	units, err := filepath.Glob(filepath.Join(repo, "deploy/control-plane/*.service"))
	require.NoError(t, err)
	require.Len(t, units, 3)
	for _, unit := range units {
		text := read(t, "deploy/control-plane/"+filepath.Base(unit))
		for _, line := range []string{"DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n",
			"EnvironmentFile=/etc/spotkeeper/spotkeeper.env"} {
			require.Contains(t, text, line, filepath.Base(unit))
		}
	}
}

// TestPackagesMakeTheirSettingsOnce: with secrets that the programs take, readable by root
// alone, and another install changes nothing.
func TestPackagesMakeTheirSettingsOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, dir := range []string{"etc/spotkeeper", "usr/share/spotkeeper"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, dir), 0o700))
	}
	require.Contains(t, read(t, "deploy/control-plane/nfpm.yaml"), "dst: /usr/share/spotkeeper/spotkeeper.env")
	shipped := filepath.Join(root, "usr/share/spotkeeper/spotkeeper.env")
	require.NoError(t, os.WriteFile(shipped, []byte(read(t, "deploy/control-plane/spotkeeper.env")), 0o600))
	script := strings.NewReplacer("/etc/spotkeeper", root+"/etc/spotkeeper", "/usr/share/spotkeeper", root+"/usr/share/spotkeeper",
		"/run/systemd/system", root+"/run").Replace(read(t, "deploy/control-plane/postinstall.sh"))
	install := func() string {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", script).CombinedOutput()
		require.NoError(t, err, "%s", out)
		made := filepath.Join(root, "etc/spotkeeper/spotkeeper.env")
		info, err := os.Stat(made)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		content, err := os.ReadFile(made)
		require.NoError(t, err)
		return string(content)
	}
	first := install()
	require.Regexp(t, `(?m)^SECRET_KEY=[A-Za-z0-9+/]{43}=$`, first)
	require.Regexp(t, `(?m)^ADMIN_TOKEN=[0-9a-f]{48}$`, first)
	require.Equal(t, first, install())
}

// TestImages: the targets are static or distroless, run without root, and their
// bases have a version.
func TestImages(t *testing.T) {
	t.Parallel()
	dockerfile := read(t, "deploy/Dockerfile")
	bases := regexp.MustCompile(`(?m)^ARG \w+_IMAGE=(.+)$`).FindAllStringSubmatch(dockerfile, -1)
	require.Len(t, bases, 5)
	for _, b := range bases {
		require.Regexp(t, `:(nonroot|[\w.-]*\d[\w.-]*)$`, b[1])
		require.NotContains(t, b[1], "latest")
	}
	stages := map[string]string{}
	for _, stage := range strings.Split(dockerfile, "\nFROM ")[1:] {
		head, _, _ := strings.Cut(stage, "\n")
		name := head[strings.LastIndex(head, " ")+1:]
		stages[name] = stage
	}
	for _, name := range []string{"api", "worker", "api-onnx", "worker-onnx", "agent"} {
		require.Contains(t, stages[name], "USER 65532:65532", name)
		require.Regexp(t, `^\$\{(STATIC|CC)_IMAGE\}`, stages[name], name)
		require.NotContains(t, stages[name], "RUN ", name)
	}
	require.Contains(t, stages["build"], "CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH")
	makefile := read(t, "Makefile")
	for name := range stages {
		if !strings.HasPrefix(name, "build") && name != "console" && name != "source" {
			require.Regexp(t, `(?m)^IMAGES :=.* ?\b`+name+`\b`, makefile)
		}
	}
}

// TestBasesAreNamedByDigest: what the images are made from is that of the Dockerfile, and
// nothing is built from a base without a digest.
func TestBasesAreNamedByDigest(t *testing.T) {
	t.Parallel()
	settings := read(t, "deploy/bases.env")
	for _, b := range regexp.MustCompile(`(?m)^ARG (\w+_IMAGE=.+)$`).FindAllStringSubmatch(read(t, "deploy/Dockerfile"), -1) {
		require.Regexp(t, `(?m)^`+regexp.QuoteMeta(b[1])+`(@sha256:[0-9a-f]{64})?$`, settings)
	}
	pinned := regexp.MustCompile(`(?m)^(\w+_IMAGE=[^@\n]+).*$`).ReplaceAllString(settings, "$1@sha256:"+strings.Repeat("0a", 32))
	one := strings.Replace(pinned, "@sha256:"+strings.Repeat("0a", 32), "", 1)
	for content, ok := range map[string]bool{pinned: true, one: false} {
		file := filepath.Join(t.TempDir(), "bases.env")
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		out, err := exec.CommandContext(t.Context(), filepath.Join(repo, "deploy/bases.sh"), "check", file).CombinedOutput()
		require.Equal(t, ok, err == nil, "%s", out)
		if ok {
			require.Equal(t, 5, strings.Count(string(out), "--build-arg "))
		} else {
			require.Contains(t, string(out), "make bases")
		}
	}
	require.Contains(t, read(t, "Makefile"), "deploy/bases.sh check")
}
