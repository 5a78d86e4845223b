// Package chart renders the Helm chart with Helm's own engine and reads what comes out as
// the typed objects of Kubernetes, strictly: a field that Kubernetes does not know is an
// error.
package chart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// Directory is the chart, from a package of this module.
const Directory = "../../helm/spotkeeper"

// Object is one of Kubernetes.
type Object struct {
	Kind   string
	Text   string // as it was rendered
	Typed  any    // a pointer to the typed object
	Object meta.Object
}

// Hook says whether Helm runs the object apart from the release.
func (o Object) Hook() bool { return o.Object.GetAnnotations()["helm.sh/hook"] != "" }

// Rendering is the manifests that Helm renders from a chart and values.
type Rendering struct {
	Objects []Object
	Notes   string
}

// kinds makes the typed object of each kind that the chart may have.
var kinds = map[string]func() any{
	"v1/ConfigMap":                            func() any { return new(core.ConfigMap) },
	"v1/Pod":                                  func() any { return new(core.Pod) },
	"v1/Service":                              func() any { return new(core.Service) },
	"v1/ServiceAccount":                       func() any { return new(core.ServiceAccount) },
	"apps/v1/DaemonSet":                       func() any { return new(apps.DaemonSet) },
	"apps/v1/Deployment":                      func() any { return new(apps.Deployment) },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() any { return new(autoscaling.HorizontalPodAutoscaler) },
	"batch/v1/Job":                            func() any { return new(batch.Job) },
	"gateway.networking.k8s.io/v1/HTTPRoute":  func() any { return new(gateway.HTTPRoute) },
	"keda.sh/v1alpha1/ScaledObject":           func() any { return new(scaledObject) },
	"monitoring.coreos.com/v1/PrometheusRule": func() any { return new(monitoring.PrometheusRule) },
	"monitoring.coreos.com/v1/ServiceMonitor": func() any { return new(monitoring.ServiceMonitor) },
	"networking.k8s.io/v1/Ingress":            func() any { return new(networking.Ingress) },
	"networking.k8s.io/v1/NetworkPolicy":      func() any { return new(networking.NetworkPolicy) },
	"policy/v1/PodDisruptionBudget":           func() any { return new(policy.PodDisruptionBudget) },
}

// scaledObject is KEDA's, as far as the chart uses it: KEDA's own module is an operator.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		Triggers        []struct {
			Type     string            `json:"type"`
			Metadata map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// Render renders the chart as `helm template` does, with the values checked against the
// chart's schema.
func Render(ctx context.Context, release, namespace string, values map[string]any) (Rendering, error) {
	var out Rendering
	c, err := loader.Load(Directory)
	if err != nil {
		return out, err
	}
	with, err := util.ToRenderValues(c, values, common.ReleaseOptions{
		Name: release, Namespace: namespace, Revision: 1, IsInstall: true,
	}, common.DefaultCapabilities)
	if err != nil {
		return out, err
	}
	files, err := engine.Engine{Strict: true}.RenderWithContext(ctx, c, with)
	if err != nil {
		return out, err
	}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if filepath.Base(name) == "NOTES.txt" {
			out.Notes = files[name]
			continue
		}
		objects, err := decode(files[name])
		if err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
		out.Objects = append(out.Objects, objects...)
	}
	return out, nil
}

func decode(file string) ([]Object, error) {
	var out []Object
	for _, text := range strings.Split("\n"+file, "\n---") {
		text = strings.TrimSpace(text)
		var head meta.TypeMeta
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, text)
		}
		if head.Kind == "" {
			if strings.Trim(text, "# \n") != "" && !onlyComments(text) {
				return nil, fmt.Errorf("an object has no kind:\n%s", text)
			}
			continue
		}
		fresh, known := kinds[head.APIVersion+"/"+head.Kind]
		if !known {
			return nil, fmt.Errorf("the kind %s of %s is not known here", head.Kind, head.APIVersion)
		}
		typed := fresh()
		if err := yaml.UnmarshalStrict([]byte(text), typed); err != nil {
			return nil, fmt.Errorf("%s: %w in\n%s", head.Kind, err, text)
		}
		object, ok := typed.(meta.Object)
		if !ok || object.GetName() == "" {
			return nil, errors.New(head.Kind + " has no name")
		}
		out = append(out, Object{head.Kind, text, typed, object})
	}
	return out, nil
}

func onlyComments(text string) bool {
	return !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return line != "" && !strings.HasPrefix(line, "#")
	})
}

// Values reads a values file.
func Values(path string) (map[string]any, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	return values, yaml.UnmarshalStrict(content, &values)
}

// PodSpec returns the pod that an object runs, nil when it runs none.
func (o Object) PodSpec() (*meta.ObjectMeta, *core.PodSpec) {
	switch w := o.Typed.(type) {
	case *apps.Deployment:
		return &w.Spec.Template.ObjectMeta, &w.Spec.Template.Spec
	case *apps.DaemonSet:
		return &w.Spec.Template.ObjectMeta, &w.Spec.Template.Spec
	case *batch.Job:
		return &w.Spec.Template.ObjectMeta, &w.Spec.Template.Spec
	case *core.Pod:
		return &w.ObjectMeta, &w.Spec
	}
	return nil, nil
}
