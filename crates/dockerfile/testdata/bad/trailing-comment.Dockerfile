FROM scratch # the base
