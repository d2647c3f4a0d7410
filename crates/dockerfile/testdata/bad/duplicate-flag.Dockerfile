FROM scratch
COPY --chown=a --chown=b c d
