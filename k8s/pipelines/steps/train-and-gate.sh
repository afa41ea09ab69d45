#!/usr/bin/env bash
# Trains, and lets through only a model that is good enough.
#
#   TRAIN_COMMAND   what trains; it leaves the model's files in $MODEL_DIR and its measurements, an object of numbers, in $METRICS
#   MODEL_DIR       folder of the model's files
#   METRICS         a JSON file
#   GATES           JSON: the bounds of each measurement, such as {"f1": {"min": 0.9}, "latency_p99_ms": {"max": 50}}
set -euo pipefail

: "${TRAIN_COMMAND:?}" "${MODEL_DIR:?}" "${METRICS:?}" "${GATES:?}"

mkdir -p "$MODEL_DIR"
bash -euo pipefail -c "$TRAIN_COMMAND"
[[ -n $(find "$MODEL_DIR" -type f -print -quit) ]] || { echo "error: expected files in $MODEL_DIR, got none" >&2; exit 1; }

# What was not measured did not pass.
failed=$(jq --raw-output --argjson gates "$GATES" '
    . as $measured | $gates | to_entries[] | .key as $name | .value as $bounds | $measured[$name] as $value
    | if ($value | type) != "number" then "\($name): expected a number, got \($value)"
      elif $bounds.min != null and $value < $bounds.min then "\($name): expected at least \($bounds.min), got \($value)"
      elif $bounds.max != null and $value > $bounds.max then "\($name): expected at most \($bounds.max), got \($value)"
      else empty end' "$METRICS")
if [[ -n $failed ]]; then
    printf 'error: the model is not good enough\n%s\n' "$failed" >&2
    exit 1
fi
echo "passed: $(jq --compact-output . "$METRICS")"
