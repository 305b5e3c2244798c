# The console client, for scripts that talk from a container: scripts/build-image.sh cfp-client cfp-client
FROM scratch
COPY cfp-client /cfp-client
USER 65532:65532
ENTRYPOINT ["/cfp-client"]
