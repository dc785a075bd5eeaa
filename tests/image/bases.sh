#!/usr/bin/env bash
# The base that the Dockerfile builds on, where no registry of images can be reached: made
# from Debian's packages and this machine's Rust, under the name that the Dockerfile uses.
set -euo pipefail
NAME=docker.io/library/rust:1-bookworm

if podman image exists "$NAME"; then exit 0; fi
if timeout 120 podman pull -q "$NAME" 2>/dev/null; then exit 0; fi

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
mmdebstrap --quiet --variant=minbase --include=ca-certificates,gcc,libc6-dev,make,pkg-config,binutils \
    bookworm "$WORK/base.tar"
podman import -q "$WORK/base.tar" localhost/bookworm-with-gcc >/dev/null
mkdir -p "$WORK/rust/usr/local"
cp -r "$(rustc --print sysroot)"/{bin,lib} "$WORK/rust/usr/local/"
rm -rf "$WORK"/rust/usr/local/lib/rustlib/*/share "$WORK"/rust/usr/local/share
printf 'FROM localhost/bookworm-with-gcc\nCOPY usr /usr\nENV CARGO_HOME=/usr/local/cargo\n' >"$WORK/rust/Dockerfile"
buildah bud --isolation chroot --quiet -t "$NAME" "$WORK/rust" >/dev/null
podman rmi -f localhost/bookworm-with-gcc >/dev/null
