// Kubeflow's own model registry, for the tests.
package main

import "github.com/kubeflow/model-registry/cmd"

func main() {
	cmd.Execute()
}
