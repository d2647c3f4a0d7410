# syntax=docker/dockerfile:1
# check=skip=JSONArgsRecommended

ARG PYTHON=3.12
# base: what all stages share
FROM --platform=$BUILDPLATFORM python:${PYTHON}-slim AS Base
ENV PIP_NO_CACHE_DIR=1 \
    # comments may stand here
    PYTHONUNBUFFERED="1 0"

FROM base AS build
WORKDIR /src
RUN --mount=type=cache,target=/root/.cache/pip,sharing=locked \
    --mount=type=bind,source=requirements.txt,target=requirements.txt \
    pip install -r requirements.txt && \

    rm -rf /tmp/*
COPY --chown=1000:1000 --chmod=u=rwX,go=rX . .
RUN <<-'SCRIPT'
	set -eu
	python -m compileall .
SCRIPT
RUN cat <<EOF > /etc/motd
hello $USER
EOF

FROM base
LABEL org.opencontainers.image.title="an app" maintainer=me
COPY --from=build --link ["/src", "/app/"]
COPY <<app.toml <<"raw.txt" /etc/app/
port = ${PORT:-80}
app.toml
$not expanded
raw.txt
EXPOSE 80 443/tcp
VOLUME ["/data"]
STOPSIGNAL SIGINT
USER 1000:1000
HEALTHCHECK --interval=30s --timeout=3s CMD curl -f http://localhost/ || exit 1
ONBUILD RUN echo built
ENTRYPOINT ["python"]
CMD ["-m", "app"]
