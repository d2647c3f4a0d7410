ARG x=1
ARG y
