#!/usr/bin/env bash
# Before anything is trained: is the registry there, and is the version still free? A version is never written over, so it is better
# to know now than after hours.
#
#   MODEL_REGISTRY, MODEL_NAME, MODEL_VERSION: what is to be made, as the fetcher takes them
set -euo pipefail

: "${MODEL_REGISTRY:?}" "${MODEL_NAME:?}" "${MODEL_VERSION:?}"

code=0
fetcher resolve >/dev/null || code=$?
case $code in
0)
    echo "error: $MODEL_NAME $MODEL_VERSION is there already; choose another version" >&2
    exit 1
    ;;
66) echo "$MODEL_NAME $MODEL_VERSION is free" ;;
*) exit "$code" ;;
esac
