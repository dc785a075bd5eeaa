# syntax=docker/dockerfile:1
# FerryMQ in an image of its own: one static binary and the certificates of public
# authorities. No shell, no package manager, no root.
#
#   docker build -t ferrymq .
#   docker run -p 1883:1883 -v data:/data -e FERRYMQ_AUTH__ALLOW_ANONYMOUS=true ferrymq
#
# Both bases can be pinned or replaced: --build-arg RUST_IMAGE=NAME@sha256:...
# For arm64, built on another machine:
#   --build-arg TARGET=aarch64-unknown-linux-gnu --build-arg CROSS=aarch64-linux-gnu
ARG RUST_IMAGE=docker.io/library/rust:1-bookworm
ARG RUNTIME_IMAGE=scratch

# checkov:skip=CKV_DOCKER_7:the tag, or a digest, stands in the argument
FROM ${RUST_IMAGE} AS build
WORKDIR /build
ARG TARGET=x86_64-unknown-linux-gnu
# The prefix of the cross compiler's commands; empty for this machine's own.
ARG CROSS=
# The newest compiler of the base's release, as the base itself is its newest.
# hadolint ignore=DL3008
RUN if [ -n "$CROSS" ]; then \
        apt-get update && \
        apt-get install -y --no-install-recommends "gcc-$CROSS" "libc6-dev-arm64-cross" && \
        rm -rf /var/lib/apt/lists/* && \
        rustup target add "$TARGET"; \
    fi

# Linked with all that it needs: the same binary runs on any base. Names are still looked
# up by /etc/hosts and DNS. The allocator for arm64 works with pages of up to 64 KiB, which some
# of its kernels have (16 KiB on a Raspberry Pi 5). Debug information would only
# take room on the disk: it is stripped below.
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_PROFILE_RELEASE_DEBUG=false \
    AARCH64_UNKNOWN_LINUX_GNU_JEMALLOC_SYS_WITH_LG_PAGE=16 \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc

# Dependencies change less often than the source. In a layer of their own they are built
# from a crate that is empty but for its manifest, which names the path of each bench and test, so
# that cargo does not look for them.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && touch src/lib.rs && echo 'fn main() {}' >src/main.rs && \
    cargo build --release --locked --target "$TARGET" --bin ferrymq

COPY config config
COPY src src
# Newer than the empty files that they replace, or cargo would leave it at those.
RUN find src -name '*.rs' -exec touch '{}' + && \
    cargo build --release --locked --target "$TARGET" --bin ferrymq && \
    mkdir -p /out/usr/bin /out/etc/ssl/certs /out/etc/ferrymq && \
    "${CROSS:+$CROSS-}strip" -o /out/usr/bin/ferrymq "target/$TARGET/release/ferrymq" && \
    cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ && \
    cp config/container.toml /out/etc/ferrymq/ferrymq.toml && \
    echo 'ferrymq:x:10001:10001::/data:/sbin/nologin' >/out/etc/passwd && \
    echo 'ferrymq:x:10001:' >/out/etc/group && \
    mkdir -m 0750 /out/data && chown 10001:10001 /out/data

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
# --build-arg REVISION=$(git rev-parse HEAD); when it was made is in the image itself.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="FerryMQ" \
      org.opencontainers.image.description="An MQTT broker that keeps its word: durable before acknowledged, in one SQLite file" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/ /
COPY LICENSE /usr/share/licenses/ferrymq/
# SQLITE_TMPDIR: the root may be read-only, and there may be no /tmp.
ENV FERRYMQ_CONFIG=/etc/ferrymq/ferrymq.toml \
    SQLITE_TMPDIR=/data
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 1883 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/usr/bin/ferrymq", "health"]
ENTRYPOINT ["/usr/bin/ferrymq"]
