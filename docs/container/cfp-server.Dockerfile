# The image has the static binary in it and nothing else: scripts/build-image.sh builds it.
FROM scratch
COPY cfp-server /cfp-server
# /run/cfp for the control socket, which belongs to the user below. Where the container may not write there (--read-only),
# a tmpfs takes its place, or --no-control does without it.
COPY --chown=65532:65532 folders/ /
# Nobody's: owns nothing, here or outside.
USER 65532:65532
EXPOSE 7777
# There is no shell, hence the form with brackets. --ask gives up by itself after 2 s.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/cfp-server", "--control", "/run/cfp/control", "--ask", "status"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/cfp-server", "--control", "/run/cfp/control"]
