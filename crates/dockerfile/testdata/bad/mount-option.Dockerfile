FROM scratch
RUN --mount=type=cache,taget=/x true
