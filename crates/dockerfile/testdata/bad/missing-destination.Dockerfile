FROM scratch
COPY \
  only
