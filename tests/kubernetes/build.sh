#!/usr/bin/env bash
# Builds a Kubernetes from Debian's source package into tests/.cache/kubernetes: the
# programs of one node, and the pause container's; beside them etcd and containerd of
# Debian's. Doing it again changes nothing, removing the directory begins anew.
#
# No registry of images and no download of Kubernetes is needed for it, only Debian's
# packages. Debian's is release 1.20: it is the newest that a distribution carries whole.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .cache/kubernetes
CACHE=$PWD/.cache/kubernetes
PROGRAMS=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl)
# Within a GOPATH, where the generator finds its packages, and where vendor/ needs no module.
export GOPATH=$CACHE/gopath GO111MODULE=off GOCACHE=$CACHE/go-build GOFLAGS= CGO_ENABLED=0
SOURCE=$GOPATH/src/k8s.io/kubernetes
export PATH=/usr/lib/go-1.19/bin:$PATH

# With a list of its own and without touching this machine's: its sources may be left out there.
fetch() {
    local apt=$CACHE/apt keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    printf 'Types: deb-src\nURIs: http://deb.debian.org/debian\nSuites: bookworm\nComponents: main\nSigned-By: %s\n' \
        "$keyring" >"$apt/bookworm.sources"
    local options=(-q -o "Dir::Etc::SourceList=$apt/bookworm.sources" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update
    # apt checks the archive's signature and the checksums of the files.
    (cd "$apt" && apt-get "${options[@]}" source --download-only kubernetes)
    rm -rf "$SOURCE" "$SOURCE.part"
    mkdir -p "$(dirname "$SOURCE")"
    dpkg-source --no-check -x "$apt"/kubernetes_*.dsc "$SOURCE.part" >/dev/null
    mv "$SOURCE.part" "$SOURCE"
    rm -rf "$apt"
}

# Unpacked, not installed: installed they would run as services of this machine.
daemons() {
    [[ -x $CACHE/debian/usr/bin/etcd && -x $CACHE/debian/usr/bin/containerd ]] && return
    local packages=$CACHE/packages package
    rm -rf "$packages"
    mkdir -p "$packages"
    (cd "$packages" && apt-get -q -o APT::Sandbox::User=root download etcd-server containerd)
    for package in "$packages"/*.deb; do dpkg -x "$package" "$CACHE/debian"; done
    rm -rf "$packages"
}

# The one generated file that the package leaves to its build.
openapi() {
    local out=$SOURCE/pkg/generated/openapi/zz_generated.openapi.go packages
    [[ -e $out ]] && return
    echo "generating what the source leaves out"
    cd "$SOURCE"
    go build -o "$CACHE/bin/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    packages=$(grep -RlE --include='*.go' '^// ?\+k8s:openapi-gen=' cmd pkg plugin \
        vendor/k8s.io/{api,apimachinery,apiserver,apiextensions-apiserver,client-go,component-base,kube-aggregator,kube-controller-manager,kube-proxy,kube-scheduler,kubelet,metrics,cloud-provider}/ |
        xargs -n1 dirname | LC_ALL=C sort -u | sed 's|^|k8s.io/kubernetes/|' | paste -sd,)
    "$CACHE/bin/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi \
        -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
        -r "$CACHE/openapi.report" --output-base "$CACHE/generated"
    mv "$CACHE/generated/k8s.io/kubernetes/pkg/generated/openapi/zz_generated.openapi.go" "$out"
}

programs() {
    cd "$SOURCE"
    echo "building Kubernetes: about ten minutes on two cores"
    local vendor=k8s.io/kubernetes/vendor/k8s.io
    # Without the clouds' code and Docker's: neither is used, and they are a third of it.
    go build -p "$(nproc)" -tags 'providerless dockerless' -o "$CACHE/bin.part/" \
        -ldflags "-s -w $(for package in component-base/version client-go/pkg/version; do
            printf -- '-X %s.gitVersion=v1.20.2 -X %s.gitMajor=1 -X %s.gitMinor=20 ' "$vendor/$package"{,,}
        done)" \
        "${PROGRAMS[@]/#/./cmd/}"
    gcc -Os -Wall -static -DVERSION=1.20.2 -o "$CACHE/bin.part/pause" build/pause/linux/pause.c
    mkdir -p "$CACHE/bin"
    mv "$CACHE"/bin.part/* "$CACHE/bin/"
    rmdir "$CACHE/bin.part"
}

done_already() {
    local program
    for program in "${PROGRAMS[@]}" pause; do [[ -x $CACHE/bin/$program ]] || return 1; done
}

daemons
done_already && exit 0
mkdir -p "$CACHE/bin"
[[ -e $SOURCE/go.mod ]] || fetch
openapi
programs
# Two gigabytes that nothing needs any more.
rm -rf "$CACHE/go-build" "$CACHE/generated" "$CACHE/openapi.report"
