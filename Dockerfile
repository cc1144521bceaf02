# The manifests alone, with an empty file for each target that cargo looks for: what comes of them changes with the
# dependencies only.
FROM rust:1-slim-bookworm AS manifests
WORKDIR /build
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete \
    && for manifest in Cargo.toml crates/*/Cargo.toml; do \
        mkdir -p "$(dirname "$manifest")/src" \
        && : > "$(dirname "$manifest")/src/lib.rs" \
        && echo 'fn main() {}' > "$(dirname "$manifest")/src/main.rs"; \
    done \
    && awk -F '"' '/^path = / { print "fn main() {}" > ("examples/" $2) }' examples/Cargo.toml

FROM rust:1-slim-bookworm AS builder
WORKDIR /build
# The dependencies: a layer that stays while the manifests do.
COPY --from=manifests /build .
RUN cargo build --locked --release -p evenfold-cli
# Files copied in can be older than what was just built of the empty ones, and cargo goes by that: touching them makes
# it look. The binary has no symbols: the profile says so.
COPY . .
RUN find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --locked --release -p evenfold-cli

FROM debian:bookworm-slim
ARG REVISION=unknown
LABEL org.opencontainers.image.title="evenfold" \
      org.opencontainers.image.description="Folds an event log kept in PostgreSQL into read models, exactly once" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.2.0" \
      org.opencontainers.image.revision="$REVISION"
# evenfold trusts the system's root certificates when it connects to PostgreSQL by TLS.
# The versions are those of the base image's release; pinned ones vanish from the mirrors.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin evenfold
COPY --from=builder /build/target/release/evenfold /usr/local/bin/evenfold
# By number, so that an orchestrator can see that it is not root.
USER 10001
# Where worker, pool, serve and monitor answer probes and show figures: 0.0.0.0:9601 shows them to other machines.
ENV EVENFOLD_HTTP=127.0.0.1:9601
# Of a container for anything else, such as evenfold cache: --health-cmd, or --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["sh", "-c", "exec evenfold health \"http://$EVENFOLD_HTTP/livez\""]
ENTRYPOINT ["evenfold"]
