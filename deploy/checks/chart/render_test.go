package chart_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"spotkeeper/deploy/checks/chart"
)

var update = flag.Bool("update", false, "rewrite deploy/k8s/spotkeeper.yaml")

// renderings are the chart with its defaults and with each file of ci/.
func renderings(t *testing.T) map[string]chart.Rendering {
	t.Helper()
	files, err := filepath.Glob(chart.Directory + "/ci/*-values.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 3)
	out := map[string]chart.Rendering{"defaults": render(t, nil)}
	for _, file := range files {
		values, err := chart.Values(file)
		require.NoError(t, err, file)
		out[filepath.Base(file)] = render(t, values)
	}
	return out
}

func render(t *testing.T, values map[string]any) chart.Rendering {
	t.Helper()
	r, err := chart.Render(t.Context(), "spotkeeper", "spotkeeper", values)
	require.NoError(t, err)
	return r
}

// find returns the objects of a kind by their component.
func find[T any](r chart.Rendering) map[string]T {
	out := map[string]T{}
	for _, o := range r.Objects {
		if typed, ok := o.Typed.(T); ok {
			out[o.Object.GetLabels()["app.kubernetes.io/component"]] = typed
		}
	}
	return out
}

// TestRenders: every values file makes objects of Kubernetes' types, each once, labelled,
// in the release's namespace.
func TestRenders(t *testing.T) {
	t.Parallel()
	total := 0
	for name, r := range renderings(t) {
		seen := map[string]bool{}
		var kinds []string
		for _, o := range r.Objects {
			id := o.Kind + "/" + o.Object.GetName()
			require.False(t, seen[id], "%s: %s is there twice", name, id)
			seen[id] = true
			kinds = append(kinds, o.Kind)
			require.Equal(t, "spotkeeper", o.Object.GetNamespace(), id)
			require.NotEmpty(t, o.Object.GetLabels()["app.kubernetes.io/component"], id)
			require.LessOrEqual(t, len(o.Object.GetName()), 63)
		}
		require.Contains(t, r.Notes, "helm test spotkeeper")
		total += len(r.Objects)
		t.Logf("%s: %d objects: %v", name, len(r.Objects), count(kinds))
	}
	t.Logf("%d objects in all", total)
	full := renderings(t)["full-values.yaml"]
	for _, kind := range []string{"Deployment", "Job", "Service", "HTTPRoute", "HorizontalPodAutoscaler", "ScaledObject",
		"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PrometheusRule", "ConfigMap", "DaemonSet",
		"ServiceAccount", "Pod"} {
		require.True(t, slices.ContainsFunc(full.Objects, func(o chart.Object) bool { return o.Kind == kind }), kind)
	}
}

func count(kinds []string) string {
	slices.Sort(kinds)
	var parts []string
	for _, kind := range slices.Compact(slices.Clone(kinds)) {
		n := 0
		for _, k := range kinds {
			if k == kind {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, kind))
	}
	return strings.Join(parts, ", ")
}

// TestNodesJoinWithoutASecret: by its defaults the agent joins by the role of its node, and
// mounts no token. With an enrolment token it mounts the Secret.
func TestNodesJoinWithoutASecret(t *testing.T) {
	t.Parallel()
	for method, secrets := range map[string]int{"aws-iam": 0, "token": 1} {
		join := map[string]any{"method": method, "clientID": "c-1", "existingSecret": "enrolment"}
		nodes := find[*apps.DaemonSet](render(t, map[string]any{"agent": map[string]any{"enabled": true, "join": join}}))
		spec := nodes["agent"].Spec.Template.Spec
		require.True(t, spec.HostNetwork)
		said := map[string]string{}
		for _, variable := range spec.Containers[0].Env {
			said[variable.Name] = variable.Value
		}
		require.Equal(t, method, said["SPOTKEEPER_AGENT_JOIN_METHOD"])
		require.Equal(t, "c-1", said["SPOTKEEPER_AGENT_JOIN_CLIENT_ID"])
		mounted := 0
		for _, volume := range spec.Volumes {
			if volume.Secret != nil {
				mounted++
			}
		}
		require.Equal(t, secrets, mounted, method)
		require.Len(t, spec.Containers[0].VolumeMounts, len(spec.Volumes))
	}
}

// TestLint is `helm lint`.
func TestLint(t *testing.T) {
	t.Parallel()
	for _, m := range lint.RunAll(chart.Directory, nil, "spotkeeper").Messages {
		require.Less(t, m.Severity, 2, "%s", m.Error()) // 1 is a recommendation, as for an icon
	}
}

// TestRestricted: every pod keeps the restricted profile of the Pod Security standards; the
// agent's only differs by the host's network.
func TestRestricted(t *testing.T) {
	t.Parallel()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	require.NoError(t, err)
	pods := 0
	for name, r := range renderings(t) {
		for _, o := range r.Objects {
			m, spec := o.PodSpec()
			if spec == nil {
				continue
			}
			pods++
			var broken []string
			level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
			for _, result := range evaluator.EvaluatePod(level, m, spec) {
				if !result.Allowed {
					broken = append(broken, result.ForbiddenReason)
				}
			}
			if o.Kind == "DaemonSet" {
				require.Equal(t, []string{"host namespaces"}, broken)
			} else {
				require.Empty(t, broken, "%s: %s %s", name, o.Kind, o.Object.GetName())
			}
			requireHardened(t, spec)
		}
	}
	require.Greater(t, pods, 12)
}

// requireHardened asks for what the profile leaves open.
func requireHardened(t *testing.T, spec *core.PodSpec) {
	t.Helper()
	require.False(t, *spec.AutomountServiceAccountToken)
	require.False(t, *spec.EnableServiceLinks, "variables of Services look like settings")
	for _, c := range spec.Containers {
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, c.Name)
		require.NotZero(t, c.Resources.Limits.Memory().Value(), c.Name)
		require.NotZero(t, c.Resources.Requests.Cpu().Value(), c.Name)
		require.NotContains(t, c.Image, ":latest")
		for _, e := range c.Env {
			secret := strings.Contains(e.Name, "KEY") || strings.Contains(e.Name, "DATABASE") || strings.Contains(e.Name, "SECRET")
			require.False(t, secret && e.Value != "" && !strings.HasPrefix(e.Value, "/"), "%s has a secret as a value", e.Name)
		}
	}
}

// TestWorkloads: api and worker have probes, end in their time, and are spread; what
// accompanies them is about their pods.
func TestWorkloads(t *testing.T) {
	t.Parallel()
	for name, r := range renderings(t) {
		for component, d := range find[*apps.Deployment](r) {
			pod := d.Spec.Template.Spec
			c := pod.Containers[0]
			for _, p := range []*core.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				require.NotNil(t, p, "%s: %s", name, component)
				require.Contains(t, []string{"/health", "/ready"}, p.HTTPGet.Path)
				require.True(t, slices.ContainsFunc(c.Ports, func(port core.ContainerPort) bool {
					return port.Name == p.HTTPGet.Port.String()
				}))
			}
			require.Equal(t, "/health", c.LivenessProbe.HTTPGet.Path, "a dependency that is away is no reason to restart")
			require.EqualValues(t, 45, *pod.TerminationGracePeriodSeconds)
			require.True(t, labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)))
			if name == "small-values.yaml" {
				continue
			}
			require.Len(t, pod.TopologySpreadConstraints, 2)
			budget := find[*policyv1.PodDisruptionBudget](r)[component]
			require.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
			requireSelects(t, budget.Spec.Selector, d)
			np := find[*networking.NetworkPolicy](r)[component]
			requireSelects(t, &np.Spec.PodSelector, d)
			require.Len(t, np.Spec.PolicyTypes, 2, "in and out")
		}
		for _, o := range r.Objects {
			if s, ok := o.Typed.(*core.Service); ok {
				d := find[*apps.Deployment](r)[s.Labels["app.kubernetes.io/component"]]
				require.True(t, labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(d.Spec.Template.Labels)))
				for _, p := range s.Spec.Ports {
					require.True(t, slices.ContainsFunc(d.Spec.Template.Spec.Containers[0].Ports,
						func(c core.ContainerPort) bool { return c.Name == p.TargetPort.String() }), p.Name)
				}
			}
		}
	}
}

func requireSelects(t *testing.T, s *meta.LabelSelector, d *apps.Deployment) {
	t.Helper()
	selector, err := meta.LabelSelectorAsSelector(s)
	require.NoError(t, err)
	require.True(t, selector.Matches(labels.Set(d.Spec.Template.Labels)))
}

// TestMigrationComesFirst: the job and what it needs are hooks before an install and an
// upgrade, and can be made again.
func TestMigrationComesFirst(t *testing.T) {
	t.Parallel()
	r := render(t, map[string]any{"migrate": map[string]any{"existingSecret": "owner"}})
	job := find[*batch.Job](r)["migrate"]
	spec := job.Spec.Template.Spec
	for _, o := range r.Objects {
		if o.Object.GetLabels()["app.kubernetes.io/component"] != "migrate" {
			continue
		}
		require.Equal(t, "pre-install,pre-upgrade", o.Object.GetAnnotations()["helm.sh/hook"], o.Kind)
		require.Equal(t, "before-hook-creation", o.Object.GetAnnotations()["helm.sh/hook-delete-policy"], o.Kind)
	}
	require.Equal(t, job.Name, find[*core.ServiceAccount](r)["migrate"].Name)
	require.Equal(t, spec.ServiceAccountName, find[*core.ServiceAccount](r)["migrate"].Name)
	require.Empty(t, spec.Containers[0].EnvFrom, "it knows the database and no other secret")
	require.Equal(t, []string{"migrate"}, spec.Containers[0].Args)
	i := slices.IndexFunc(spec.Containers[0].Env, func(e core.EnvVar) bool { return e.Name == "DATABASE_URL" })
	require.Equal(t, "owner", spec.Containers[0].Env[i].ValueFrom.SecretKeyRef.Name)
}

// TestServiceAccounts: one for each kind of pod, with the annotations that give it a role.
func TestServiceAccounts(t *testing.T) {
	t.Parallel()
	full := renderings(t)["full-values.yaml"]
	accounts := find[*core.ServiceAccount](full)
	for component, d := range find[*apps.Deployment](full) {
		component = strings.TrimSuffix(component, "-previous") // workers of earlier versions have the workers'
		require.Equal(t, accounts[component].Name, d.Spec.Template.Spec.ServiceAccountName)
		require.Contains(t, accounts[component].Annotations["eks.amazonaws.com/role-arn"], ":role/spotkeeper-control-plane")
	}
	cloud := renderings(t)["cloud-values.yaml"]
	require.Len(t, find[*core.ServiceAccount](cloud), 1, "the migration's alone")
	for _, d := range find[*apps.Deployment](cloud) {
		require.Equal(t, "spotkeeper", d.Spec.Template.Spec.ServiceAccountName)
	}
}

// TestPlainManifests: deploy/k8s/spotkeeper.yaml is the chart's rendering with its
// defaults, for clusters without Helm. Helm's test is left out.
func TestPlainManifests(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Generated from deploy/helm/spotkeeper by `make generate`: for clusters without Helm.\n" +
		"# The Secret spotkeeper has DATABASE_URL, SECRET_KEY and ADMIN_TOKEN. Delete the Job before an upgrade.\n")
	for _, o := range render(t, nil).Objects {
		if o.Kind != "Pod" {
			b.WriteString("---\n" + o.Text + "\n")
		}
	}
	const golden = "../../k8s/spotkeeper.yaml"
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(b.String()), 0o600))
	}
	have, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, b.String(), string(have), "run `make generate`")
}
