FROM scratch
COPY --form=x a b
