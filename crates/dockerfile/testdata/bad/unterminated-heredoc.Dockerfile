FROM scratch
COPY <<EOF /x
body
EOF2
