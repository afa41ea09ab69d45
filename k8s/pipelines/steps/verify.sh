#!/usr/bin/env bash
# After the merge: waits until the cluster serves this version, and says why if it does not come.
#
#   NAMESPACE, DEPLOYMENT         what was rolled out
#   MODEL_NAME, MODEL_VERSION     what is expected
#   TIMEOUT                       seconds [3600]
set -euo pipefail

: "${NAMESPACE:?}" "${DEPLOYMENT:?}" "${MODEL_NAME:?}" "${MODEL_VERSION:?}"
deadline=$((SECONDS + ${TIMEOUT:-3600}))

label() {
    kubectl get deployment "$DEPLOYMENT" --namespace "$NAMESPACE" \
        --output "jsonpath={.metadata.labels.plimsoll\.dev/model-version}"
}

# Until Argo CD has brought the commit to the cluster.
until [[ $(label) == "$MODEL_VERSION" ]]; do
    ((SECONDS < deadline)) || { echo "error: expected $MODEL_NAME $MODEL_VERSION, got $(label)" >&2; exit 1; }
    sleep 2
done
if ! kubectl rollout status "deployment/$DEPLOYMENT" --namespace "$NAMESPACE" --timeout "$((deadline - SECONDS))s"; then
    echo "error: $MODEL_NAME $MODEL_VERSION is not served; its Pods say:" >&2
    kubectl get pods --namespace "$NAMESPACE" --selector "plimsoll.dev/model-version=$MODEL_VERSION" --output jsonpath='{range .items[*]}{.metadata.name}{": "}{.status.initContainerStatuses[?(@.name=="fetcher")].lastState.terminated.message}{.status.initContainerStatuses[?(@.name=="fetcher")].state.terminated.message}{" "}{.status.conditions[?(@.type=="plimsoll.dev/ModelReady")].message}{"\n"}{end}' >&2
    exit 1
fi
echo "$MODEL_NAME $MODEL_VERSION is served"
