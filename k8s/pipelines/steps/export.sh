#!/usr/bin/env bash
# Puts the model into the registry as a new version, with what was measured and where it comes from. Prints the model's digest alone.
#
#   MODEL_REGISTRY (a catalog), MODEL_NAME, MODEL_VERSION, MODEL_DIR, METRICS: as before
set -euo pipefail

: "${MODEL_REGISTRY:?}" "${MODEL_NAME:?}" "${MODEL_VERSION:?}" "${MODEL_DIR:?}" "${METRICS:?}"

mapfile -t metrics < <(jq --raw-output 'to_entries[] | "--metric=\(.key)=\(.value)"' "$METRICS")
fetcher publish "$MODEL_DIR" "${metrics[@]}" --source "commit=$(git rev-parse HEAD)" >&2
# What the registry has now, and not what we believe to have sent.
fetcher resolve --output json | jq --exit-status --raw-output .digest
