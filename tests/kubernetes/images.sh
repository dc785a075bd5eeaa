#!/usr/bin/env bash
# Makes the images that the cluster uses and saves them into tests/.cache/kubernetes/images:
# the broker's from the Dockerfile under two tags, so that there is something to upgrade to;
# the pause container's; one with Mosquitto's clients and a shell, for the chart's test
# and its volume-permissions step; and Litestream's. $FERRYMQ_IMAGE names a broker's image that is there already.
set -euo pipefail
cd "$(dirname "$0")/../.."
OUT=$PWD/tests/.cache/kubernetes/images
export CONTAINERS_CONF=$PWD/tests/image/containers.conf
PREFIX=localhost/ferrymq-kubernetes
mkdir -p "$OUT"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

save() { rm -f "$OUT/$1.tar" && podman save --quiet --format docker-archive --output "$OUT/$1.tar" "${@:2}"; }

broker() {
    local image=${FERRYMQ_IMAGE:-}
    if [[ ! $image ]]; then
        image=localhost/ferrymq-test
        tests/image/bases.sh
        buildah bud --format docker --isolation chroot --network host --layers -v /etc/ssl/certs:/etc/ssl/certs:ro -t "$image" .
    fi
    podman tag "$image" "$PREFIX/ferrymq:before" "$PREFIX/ferrymq:after"
    save broker "$PREFIX/ferrymq:before" "$PREFIX/ferrymq:after"
}

pause() {
    [[ $OUT/pause.tar -nt tests/kubernetes/images.sh ]] && return
    tar -C tests/.cache/kubernetes/bin -c pause |
        podman import --quiet --change 'ENTRYPOINT ["/pause"]' - "$PREFIX/pause:1" >/dev/null
    save pause "$PREFIX/pause:1"
}

# with_libraries ROOT PROGRAM...: copies programs and what they are linked with.
with_libraries() {
    local root=$1 file
    shift
    for file in "$@" $(ldd "$@" | grep -oE '/[^ :]+' | sort -u); do
        install -D "$file" "$root$file"
    done
}

clients() {
    [[ $OUT/clients.tar -nt tests/kubernetes/images.sh ]] && return
    local root=$WORK/clients applet
    with_libraries "$root" /usr/bin/mosquitto_pub /usr/bin/mosquitto_sub
    install -D "$(command -v busybox)" "$root/bin/busybox"
    for applet in $(busybox --list | grep -vx busybox); do ln -sf busybox "$root/bin/$applet"; done
    tar -C "$root" -c . | podman import --quiet - "$PREFIX/clients:1" >/dev/null
    save clients "$PREFIX/clients:1"
}

# The binary that tests/.venv has.
litestream() {
    [[ $OUT/litestream.tar -nt tests/kubernetes/images.sh ]] && return
    install -D tests/.venv/bin/litestream "$WORK/litestream/usr/bin/litestream"
    tar -C "$WORK/litestream" -c . |
        podman import --quiet --change 'ENTRYPOINT ["/usr/bin/litestream"]' - "$PREFIX/litestream:1" >/dev/null
    save litestream "$PREFIX/litestream:1"
}

broker
pause
clients
litestream
