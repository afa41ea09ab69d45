#!/usr/bin/env bash
# Asks for the version before: the revert of the last commit that changed the version of a service in an environment. Nothing is built,
# and whatever else came in since stays.
#
#   OVERLAY         folder of the service in its environment
#   BASE_BRANCH     branch that Argo CD follows [main]
set -euo pipefail

: "${OVERLAY:?}"
base=${BASE_BRANCH:-main}

commit=$(git log -1 --format=%H -G '^ *- model_version=' -- "$OVERLAY/kustomization.yaml")
[[ -n $commit && -n $(git rev-parse --quiet --verify "$commit^") ]] ||
    { echo "error: expected a commit that changed the version in $OVERLAY, got none; is the history complete?" >&2; exit 1; }
branch=rollback/$(git rev-parse --short "$commit")
git switch --quiet --force-create "$branch"
git revert --no-edit "$commit" >/dev/null
kustomize build "$OVERLAY" >/dev/null
# A job may run again.
git push --quiet --force origin "$branch"
gh pr view "$branch" >/dev/null 2>&1 || gh pr create --base "$base" --head "$branch" --fill
