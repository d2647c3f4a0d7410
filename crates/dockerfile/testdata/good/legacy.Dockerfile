FROM debian:bookworm
MAINTAINER Somebody <some@body.example>
env LANG C.UTF-8
run apt-get update \
 && apt-get install -y --no-install-recommends \
        ca-certificates \
        git \
 && rm -rf /var/lib/apt/lists/*
ADD https://example.com/a.tar.gz app.tar.gz /opt/
expose 8080
RUN echo $((1 << 4)) && [ -d /opt ] || exit 1
CMD exec app --flag "$VALUE" \

