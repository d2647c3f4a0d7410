FROM scratch
RUN echo ÿ
