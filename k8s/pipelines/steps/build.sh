#!/usr/bin/env bash
# Builds the image of the model server and pushes it, if its folder has changed since the commit before, and prints how to pin it, for
# `kustomize edit set image`. A model is in no image, so a new model alone builds nothing, and prints nothing.
#
#   SERVER_DIR      folder of the server's Dockerfile
#   SERVER_IMAGE    where the image goes, without a tag
#   IMAGE_NAME      what it is called in the resources of the overlay
#   BASE            commit to compare with
set -euo pipefail

: "${SERVER_DIR:?}" "${SERVER_IMAGE:?}" "${IMAGE_NAME:?}" "${BASE:?}"

if git diff --quiet "$BASE" HEAD -- "$SERVER_DIR"; then
    echo "$SERVER_DIR is as it was at $BASE: no image is built" >&2
    exit 0
fi
tag=$SERVER_IMAGE:$(git rev-parse HEAD)
docker build --tag "$tag" "$SERVER_DIR" >&2
docker push "$tag" >&2
echo "$IMAGE_NAME=$(docker inspect --format '{{index .RepoDigests 0}}' "$tag")"
