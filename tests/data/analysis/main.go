// What Argo Rollouts makes of a measurement, by the conditions of an AnalysisTemplate's metric.
//
//	analysis TEMPLATE METRIC RESULT    TEMPLATE: an AnalysisTemplate; RESULT: JSON, a list of numbers and "NaN", or a text
//
// Prints Successful, Failed, Inconclusive or Error.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"math"
	"os"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/evaluate"
	"github.com/sirupsen/logrus"
	"sigs.k8s.io/yaml"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	var template v1alpha1.AnalysisTemplate
	if err := yaml.UnmarshalStrict(text, &template); err != nil {
		log.Fatal(err)
	}
	result, err := read(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	for _, metric := range template.Spec.Metrics {
		if metric.Name == os.Args[2] {
			phase, err := evaluate.EvaluateResult(result, metric, *logrus.NewEntry(logrus.New()))
			if err != nil {
				log.Print(err)
			}
			fmt.Println(phase)
			return
		}
	}
	log.Fatalf("expected a metric %s", os.Args[2])
}

// The result as the providers of metrics hand it over.
func read(text string) (any, error) {
	var values []any
	if json.Unmarshal([]byte(text), &values) != nil {
		var word string
		err := json.Unmarshal([]byte(text), &word)
		return word, err
	}
	numbers := []float64{}
	for _, value := range values {
		switch value := value.(type) {
		case float64:
			numbers = append(numbers, value)
		case string:
			numbers = append(numbers, math.NaN())
		}
	}
	return numbers, nil
}
