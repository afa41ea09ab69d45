# Built by images/build, whose output folder with the static binaries is the context.
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="plimsoll fetcher" \
      org.opencontainers.image.description="Fetches a model from a registry into a volume, verified" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY fetcher /fetcher
USER 65532:65532
ENTRYPOINT ["/fetcher"]
