# The context is the folder with the static program of the S3 server.
FROM scratch
COPY versitygw /versitygw
USER 65532:65532
ENTRYPOINT ["/versitygw"]
