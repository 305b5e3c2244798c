# The image has only the static binary. scripts/build-image.sh builds it.
FROM scratch
COPY cfp-server /cfp-server
# The folder of the control socket, which belongs to the user below. If the container may not write there (--read-only),
# mount a tmpfs there, or use --no-control.
COPY --chown=65532:65532 folders/ /
# A user that owns no other file, here or outside.
USER 65532:65532
EXPOSE 7777
# There is no shell, so the command is in brackets. --ask gives up by itself after 2 s.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["/cfp-server", "--ask", "status"]
STOPSIGNAL SIGTERM
# The image starts without arguments. Servers that merge need IDs of their own: --id, or another CFP_ID.
ENV CFP_ID=1 CFP_CONTROL=/run/cfp/control
ENTRYPOINT ["/cfp-server"]
