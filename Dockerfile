FROM rust:1-slim-bookworm AS builder
WORKDIR /build
COPY . .
# The dependencies, fetched and compiled, stay in the builder's caches. Files copied in can be older than what is cached
# of another checkout, and cargo goes by that: touching them makes it look.
RUN --mount=type=cache,id=evenfold-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=evenfold-target,target=/build/target \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && cargo build --locked --release -p evenfold-cli \
    && cp target/release/evenfold /usr/local/bin/evenfold

FROM debian:bookworm-slim
# evenfold trusts the system's root certificates when it connects to PostgreSQL by TLS.
# The versions are those of the base image's release; pinned ones vanish from the mirrors.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin evenfold
COPY --from=builder /usr/local/bin/evenfold /usr/local/bin/evenfold
# By number, so that an orchestrator can see that it is not root.
USER 10001
ENTRYPOINT ["evenfold"]
