# Part of tests/run: each part's command, and how to read "passed failed" out of its output.

# For commands that are one check: passed or not.
one() { if (($2 == 0)); then echo 1 0; else echo 0 1; fi; }

# number REGEX FILE: the last number before something in FILE, or 0.
number() { grep -oE "[0-9]+ $1" "$2" | tail -1 | grep -oE '^[0-9]+' || echo 0; }

# skips FILE: what its runner says was not run, and why if it says that.
skips() {
    sed -nE -e 's/^skipped: //p' -e 's/^SKIPPED \[([0-9]+)\] /\1 x /p' \
        -e '/Summary \[/s/.*[^0-9]([1-9][0-9]* skipped).*/\1/p' -e 's/^ℹ skipped ([1-9][0-9]*)$/\1 skipped/p' "$1"
}

# complaints FILE: what its runner says of failures, or how it ended.
complaints() {
    local of found
    found=$(for of in '^ +(FAIL|TIMEOUT|SIGABRT|SIGSEGV)|panicked at|^assertion|^ +(left|right): ' \
        '^(FAILED|ERROR) |^E  ' '^✖ |^ +(AssertionError|Error|expected|actual):?'; do
        grep -E "$of" "$1"
    done | awk '!seen[$0]++ && ++shown <= 20' | cut -c 1-300)
    if [[ $found ]]; then printf '%s\n' "$found"; else tail -25 "$1"; fi
}

part_fmt() { cargo fmt --check; }
count_fmt() { one "$@"; }

part_clippy() { cargo clippy --all-targets --all-features -- -D warnings; }
count_clippy() { one "$@"; }

SIMULATIONS='binary(simulation) | binary(liveness) | binary(accounting) | binary(bridge_simulation)'
LONG='binary(crash) | binary(backlog) | binary(faults) | binary(neighbours) | binary(bridge_chaos)'

part_rust() {
    local left_out=$SIMULATIONS
    [[ $QUICK ]] && left_out="$SIMULATIONS | $LONG"
    cargo nextest run --color never --features failpoints -E "not ($left_out)"
}
count_rust() {
    local summary="$WORK/nextest"
    grep -E 'Summary \[' "$1" | tail -1 >"$summary"
    echo "$(number passed "$summary") $(($(number failed "$summary") + $(number 'timed out' "$summary")))"
}

# The feature lets a simulation act within a commit and within a turn, and lets promises be broken
# on purpose.
part_simulation() {
    cargo nextest run --color never --features failpoints -E "$SIMULATIONS"
}
count_simulation() { count_rust "$@"; }

# A crate of its own, which compiles a few files with loom's atomics.
part_loom() { cargo nextest run --color never --manifest-path tests/loom/Cargo.toml; }
count_loom() { count_rust "$@"; }

part_doc() { cargo test --doc --quiet --features failpoints; }
count_doc() { echo "$(number passed "$1") $(number failed "$1")"; }

part_clients() {
    (cd tests/clients && ../.venv/bin/python -m pytest -n 4 ${QUICK:+--quick} .)
}
count_clients() {
    local summary="$WORK/pytest"
    grep -E '[0-9]+ (passed|failed|error)' "$1" | tail -1 >"$summary"
    echo "$(number passed "$summary") $(($(number failed "$summary") + $(number errors? "$summary")))"
}

# Without -n: a Prometheus and a broker with traffic serve all of them.
part_watching() { (cd tests/watching && ../.venv/bin/python -m pytest .); }
count_watching() { count_clients "$@"; }

part_js() { (cd tests/clients/js && node --test --test-reporter=spec); }
count_js() {
    local passed failed
    passed=$(grep -oE '^ℹ pass [0-9]+' "$1" | grep -oE '[0-9]+')
    failed=$(grep -oE '^ℹ fail [0-9]+' "$1" | grep -oE '[0-9]+')
    echo "${passed:-0} ${failed:-0}"
}

# A page with MQTT.js in headless Chromium.
part_browser() { (cd tests/clients/browser && node --test --test-reporter=spec); }
count_browser() { count_js "$@"; }

# Built as a user builds it, and run read-only as nobody. The certificates are this
# machine's: it may reach its registries through an authority of its own. In Docker's
# format, as OCI's has no place for a health check.
# Without layers: each would keep a copy of what was compiled, and the whole image is tested anyway.
part_image() {
    local CONTAINERS_CONF=$PWD/tests/image/containers.conf
    export CONTAINERS_CONF
    tests/image/bases.sh &&
        buildah bud --format docker --isolation chroot --network host --layers=false \
            -v /etc/ssl/certs:/etc/ssl/certs:ro -t localhost/ferrymq-test . &&
        PATH=$PWD/tests/.venv/bin:$PATH tests/.venv/bin/python -m pytest tests/image
}
count_image() { count_clients "$@"; }

# Needs no cluster: rendered, validated, and run as processes.
part_chart() {
    tests/.cache/chart/venv/bin/python -m pytest -c tests/chart/pytest.ini -n 4 tests/chart
}
count_chart() { count_clients "$@"; }

# The console page in headless Chromium. FERRYMQ_SCREENSHOTS=DIRECTORY keeps what it looked like.
part_console() { (cd tests/console && node --test --test-reporter=spec); }
count_console() { count_js "$@"; }

part_fuzz() {
    if [[ ! -x fuzz/run ]]; then
        echo "fuzz/run is not there"
        return 1
    fi
    fuzz/run 10
}
count_fuzz() { one "$@"; }

part_kubernetes() { tests/kubernetes/run; }
count_kubernetes() { count_clients "$@"; }

ADVISORIES=https://github.com/RustSec/advisory-db

# Compiling it takes minutes: only if it is asked for, and setup found no binary.
part_deny() {
    if ! cargo deny --version >/dev/null 2>&1; then
        if [[ $ONLY != deny ]]; then
            echo "skipped: all, since cargo-deny is not installed (tests/run --only deny compiles it)"
            return 0
        fi
        cargo install --locked cargo-deny || return
    fi
    local checks=(bans licenses sources)
    # The list of advisories is fetched from where its authors keep it.
    if GIT_TERMINAL_PROMPT=0 timeout 20 git ls-remote -q "$ADVISORIES" HEAD >/dev/null 2>&1; then
        checks+=(advisories)
    else
        echo "skipped: advisories, since their list cannot be fetched from here"
    fi
    cargo deny --all-features check --hide-inclusion-graph "${checks[@]}"
}
count_deny() { if grep -q '^skipped: all' "$1"; then echo 0 0; else one "$@"; fi; }
