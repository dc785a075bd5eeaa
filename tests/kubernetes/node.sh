#!/usr/bin/env bash
# The node: started by ./run as the first process of its own namespaces. Brings the
# network and the parts of Kubernetes up in order, runs pytest, and with its end ends all.
#
#   node.sh DIRECTORY CGROUP [PYTEST ARGUMENTS]
set -euo pipefail
export NODE_DIRECTORY=$1 NODE_CGROUP=$2
shift 2
HERE=$(cd "$(dirname "$0")" && pwd)
TESTS=$(dirname "$HERE")
CACHE=$TESTS/.cache/kubernetes
export NODE_ADDRESS=10.77.0.1 POD_NETWORK=10.78.0.0/24 SERVICE_NETWORK=10.96.0.0/16
export PATH=$CACHE/bin:$CACHE/debian/usr/bin:$TESTS/.cache/chart/tools:/usr/sbin:/usr/bin:/sbin:/bin
export KUBECONFIG=$NODE_DIRECTORY/kubeconfig HOME=$NODE_DIRECTORY/home TMPDIR=$NODE_DIRECTORY/tmp
export API=https://$NODE_ADDRESS:6443 TOKEN
TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
LOGS=$CACHE/log

# Places that Kubernetes and containerd have built in.
mounts() {
    mount -t tmpfs -o mode=755 run /run
    mkdir -p "$NODE_DIRECTORY"/{home,tmp,var-log,volumes,kubelet,containerd,apiserver,cni} /run/names /run/netns
    mount --bind "$NODE_DIRECTORY/var-log" /var/log
    # New control groups for the pods, in every hierarchy that there is.
    local hierarchy
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [[ $(stat -fc %T "$hierarchy") == cgroup* ]] || continue
        [[ $hierarchy == */cpuset ]] && echo 1 >"$hierarchy/cgroup.clone_children"
        mkdir -p "$hierarchy/$NODE_CGROUP"
    done
}

# An address for the node, on one end of a cable whose other end is not used, and the
# way to the services' addresses, which kube-proxy turns into pods'.
network() {
    ip link set lo up
    ip link add node0 type veth peer name node1
    ip addr add "$NODE_ADDRESS/32" dev node0
    ip link set node0 up
    ip link set node1 up
    ip route add "$SERVICE_NETWORK" dev node0 src "$NODE_ADDRESS"
    sysctl -qw net.ipv4.ip_forward=1
    hostname node
}

fill() { envsubst <"$HERE/node/$1" >"$NODE_DIRECTORY/$1"; }

part() {
    local name=$1
    shift
    "$@" >"$LOGS/$name.log" 2>&1 &
}

# until_true SECONDS WHAT COMMAND...
until_true() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > deadline)); then
            echo "$what did not come up; the last lines of the logs in $LOGS:" >&2
            tail -n 5 "$LOGS"/*.log >&2
            exit 1
        fi
        sleep 0.2
    done
}

control_plane() {
    openssl genrsa -out "$NODE_DIRECTORY/accounts.key" 2048 2>/dev/null
    echo "$TOKEN,admin,admin,system:masters" >"$NODE_DIRECTORY/tokens.csv"
    # In memory: what it would wait for is a disk that the broker is tried on.
    part etcd etcd --data-dir /run/etcd --log-outputs stderr --logger zap
    part apiserver kube-apiserver --etcd-servers http://127.0.0.1:2379 --insecure-port 0 \
        --bind-address "$NODE_ADDRESS" --advertise-address "$NODE_ADDRESS" --cert-dir "$NODE_DIRECTORY/apiserver" \
        --service-cluster-ip-range "$SERVICE_NETWORK" --authorization-mode Node,RBAC --kubelet-preferred-address-types InternalIP \
        --token-auth-file "$NODE_DIRECTORY/tokens.csv" --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$NODE_DIRECTORY/accounts.key" \
        --service-account-signing-key-file "$NODE_DIRECTORY/accounts.key"
    until_true 600 "the API server" kubectl get --raw /readyz
    part controller-manager kube-controller-manager --kubeconfig "$KUBECONFIG" --leader-elect=false \
        --service-account-private-key-file "$NODE_DIRECTORY/accounts.key" \
        --root-ca-file "$NODE_DIRECTORY/apiserver/apiserver.crt"
    part scheduler kube-scheduler --kubeconfig "$KUBECONFIG" --leader-elect=false
}

worker() {
    local image
    part containerd containerd --config "$NODE_DIRECTORY/containerd.toml"
    until_true 600 containerd ctr version
    for image in "$CACHE"/images/*.tar; do
        ctr --namespace k8s.io images import "$image" >>"$LOGS/images.log" 2>&1
    done
    part kubelet kubelet --config "$NODE_DIRECTORY/kubelet.yaml" --kubeconfig "$KUBECONFIG" \
        --hostname-override node --node-ip "$NODE_ADDRESS" --root-dir "$NODE_DIRECTORY/kubelet" \
        --container-runtime remote --container-runtime-endpoint unix:///run/containerd/containerd.sock \
        --volume-plugin-dir "$NODE_DIRECTORY/plugins" --image-pull-progress-deadline 1m
    part proxy kube-proxy --config "$NODE_DIRECTORY/kube-proxy.yaml"
    until_true 600 "the node" kubectl wait --for condition=Ready node/node --timeout 5s
}

# Names of services, as a cluster's DNS has them: a file that dnsmasq reads when it changes.
names() {
    part dnsmasq dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --hostsdir=/run/names \
        --listen-address "$NODE_ADDRESS" --bind-interfaces --local=/cluster.local/ --user=root --pid-file= --log-facility=-
    local template='{range .items[*]}{.spec.clusterIP} {.metadata.name}.{.metadata.namespace}.svc.cluster.local{"\n"}{end}'
    while sleep 1; do
        kubectl get services --all-namespaces -o "jsonpath=$template" >/run/names.new 2>/dev/null || continue
        sed -i '/^None /d' /run/names.new
        cmp -s /run/names.new /run/names/services || cp /run/names.new /run/names/services
    done &
}

mkdir -p "$LOGS"
rm -f "$LOGS"/*
mounts
network
for file in kubeconfig containerd.toml kubelet.yaml kube-proxy.yaml cni/pods.conflist; do fill "$file"; done
control_plane
worker
names
kubectl apply -f "$HERE/node/storage.yaml" >/dev/null
echo "a node with Kubernetes $(kubectl version --short 2>/dev/null | sed -n 's/^Server Version: //p') is ready after $SECONDS s"
cd "$HERE"
if [[ ${1:-} == wait ]]; then
    # To look around in: the shell's process id is seen from outside.
    export -p >"$CACHE/node.env"
    echo "nsenter -a -t \$(pgrep -f 'sleep 876[0]00') bash --rcfile $CACHE/node.env"
    sleep 876000
else
    "$TESTS/.venv/bin/python" -m pytest "$@"
fi
