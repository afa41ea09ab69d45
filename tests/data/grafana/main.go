// Whether Grafana's own types take a dashboard: every field must be known to them and to those of its panels and data sources, and every
// value allowed. What is wrong goes to standard error.
//
//	grafana DASHBOARD
package main

import (
	"log"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	log.SetFlags(0)
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	plugins.RegisterDefaultPlugins()
	var read dashboard.Dashboard
	fail(read.UnmarshalJSONStrict(text))
	fail(read.Validate())
}

// A list of errors comes as an error also when it is empty.
func fail(err error) {
	if err != nil && err.Error() != "" {
		log.Fatal(err)
	}
}
