# The context is the folder with the static program.
FROM scratch
COPY e2e-server /e2e-server
USER 65532:65532
ENTRYPOINT ["/e2e-server"]
