// Argo CD's own word on the health of objects: its Lua machine, its built-in scripts and its Go checks, as the application controller
// puts them together. The Rust harness is held to it.
//
//	argocd-health CONFIG_MAP    CONFIG_MAP: a YAML of argocd-cm
//
// One object a line comes in as JSON, and one line goes out for each: {"customized": …, "builtin": …}, where each is
// {"status": …, "message": …}, or null where Argo CD has no opinion.
package main

import (
	"bufio"
	"encoding/json"
	"log"
	"os"
	"strings"

	appv1 "github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const prefix = "resource.customizations.health."

type answer struct {
	Customized *said `json:"customized"`
	Builtin    *said `json:"builtin"`
}

// What is said, and also that nothing is said: Argo CD's own type leaves out what is empty.
type said struct {
	Status  health.HealthStatusCode `json:"status"`
	Message string                  `json:"message"`
}

func say(status *health.HealthStatus) *said {
	if status == nil {
		return nil
	}
	return &said{status.Status, status.Message}
}

func main() {
	overrides, err := read(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	lines := bufio.NewReader(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) == 0 {
			return
		}
		var object unstructured.Unstructured
		if err == nil {
			err = json.Unmarshal(line, &object.Object)
		}
		if err != nil {
			log.Fatal(err)
		}
		// An error stands in the status, as Unknown, too.
		customized, _ := health.GetResourceHealth(&object, lua.ResourceHealthOverrides(overrides))
		builtin, _ := health.GetResourceHealth(&object, lua.ResourceHealthOverrides(nil))
		if err := out.Encode(answer{say(customized), say(builtin)}); err != nil {
			log.Fatal(err)
		}
	}
}

// The scripts of a ConfigMap, by `group/Kind` as Argo CD has them after it has read its settings.
func read(path string) (map[string]appv1.ResourceOverride, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	if err := yaml.Unmarshal(text, &configMap); err != nil {
		return nil, err
	}
	overrides := map[string]appv1.ResourceOverride{}
	for key, value := range configMap.Data {
		if kind, found := strings.CutPrefix(key, prefix); found {
			overrides[strings.Replace(kind, "_", "/", 1)] = appv1.ResourceOverride{HealthLua: value}
		}
	}
	return overrides, nil
}
