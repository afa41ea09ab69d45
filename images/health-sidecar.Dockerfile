# Built by images/build, whose output folder with the static binaries is the context.
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="plimsoll health-sidecar" \
      org.opencontainers.image.description="Serves /health: green only when the model is verified and loaded" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# Give back what a check of a long receipt took. Left to itself, glibc keeps as much as was ever freed at once, and small
# pieces besides, for the life of the Pod.
ENV GLIBC_TUNABLES=glibc.malloc.mmap_threshold=131072:glibc.malloc.trim_threshold=131072:glibc.malloc.mxfast=0
COPY health-sidecar /health-sidecar
USER 65532:65532
ENTRYPOINT ["/health-sidecar"]
