# A server with its toolchain, so that plugins may come as sources. It calls scripts/build, and nothing else.
#   docker build --build-arg FEATURES=about --tag camlock .
#   docker run --publish 127.0.0.1:8080:8080 --volume "$PWD/plugins:/camlock/plugins" --volume camlock:/camlock/data camlock
# It serves /camlock/plugins; without a volume there, the plugins that ship. Its data directory is /camlock/data, with the admin
# token in it. The first start compiles plugins: mount a volume, and the next one does not.
ARG RUST=1.95-slim-bookworm

FROM rust:${RUST} AS build
ARG FEATURES=all-plugins
WORKDIR /source
COPY . .
RUN scripts/build /camlock "$FEATURES"

FROM rust:${RUST}
COPY --from=build --chown=10001:10001 /camlock /camlock
USER 10001:10001
WORKDIR /camlock
ENV HOME=/camlock/data CARGO_HOME=/camlock/data/cargo \
    CAMLOCK_PLUGINS=/camlock/plugins CAMLOCK_DATA=/camlock/data CAMLOCK_LISTEN=0.0.0.0:8080 \
    CAMLOCK_PAGE=0.0.0.0:8081
VOLUME /camlock/data
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
ENTRYPOINT ["/camlock/bin/camlock"]
CMD ["serve"]
