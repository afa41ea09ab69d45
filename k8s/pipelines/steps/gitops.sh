#!/usr/bin/env bash
# Asks for the new version in Git: one line of one file, on a branch of its own, as a pull request. Who merges it rolls it out. A new
# image of the server is a commit of its own, so that either can be taken back without the other.
#
#   OVERLAY                       folder of the service in its environment, such as k8s/overlays/staging/recommendation
#   MODEL_NAME, MODEL_VERSION     what to roll out
#   PINNED_IMAGE                  what build.sh printed [nothing]
#   BASE_BRANCH                   branch that Argo CD follows [main]
set -euo pipefail

: "${OVERLAY:?}" "${MODEL_NAME:?}" "${MODEL_VERSION:?}"
base=${BASE_BRANCH:-main}
environment=$(basename "$(dirname "$OVERLAY")")
branch=model/$environment/$MODEL_NAME-$MODEL_VERSION

commit() {
    # What does not build is no change to ask for.
    kustomize build "$OVERLAY" >/dev/null
    git add "$OVERLAY/kustomization.yaml"
    git diff --cached --quiet || git commit --quiet --message "$1"
}

git switch --quiet --force-create "$branch"
if [[ -n ${PINNED_IMAGE:-} ]]; then
    (cd "$OVERLAY" && kustomize edit set image "$PINNED_IMAGE")
    commit "Roll out ${PINNED_IMAGE#*=} to $environment"
fi
(cd "$OVERLAY" && kustomize edit set configmap model "--from-literal=model_version=$MODEL_VERSION")
commit "Roll out $MODEL_NAME $MODEL_VERSION to $environment"
if [[ $(git rev-parse HEAD) == "$(git rev-parse "$base")" ]]; then
    echo "$OVERLAY has $MODEL_VERSION already"
    exit 0
fi
# A job may run again.
git push --quiet --force origin "$branch"
gh pr view "$branch" >/dev/null 2>&1 || gh pr create --base "$base" --head "$branch" --fill
