"""checkov's opinion on everything that the chart can make; exceptions are in checkov.yaml."""

import subprocess

import pytest

import chart

CHECKOV = chart.CACHE / "checkov/bin/checkov"


def scan(path):
    return subprocess.run([CHECKOV, "--framework", "kubernetes", "--file", path, "--compact", "--quiet", "--skip-download",
                           "--config-file", chart.HERE / "checkov.yaml"], capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(320)
@pytest.mark.skipif(not CHECKOV.exists(), reason="tests/chart/setup.sh checkov installs it")
def test_checkov_finds_nothing(whole, tmp_path):
    rendered = chart.helm("helm4", "template", "boat", whole, "--namespace", "mqtt", "--kube-version", f"{chart.NEWEST}.0",
                          "--values", chart.HERE / "released/0.1.0.yaml").stdout
    (tmp_path / "chart.yaml").write_text(rendered)
    run = scan(tmp_path / "chart.yaml")
    assert run.returncode == 0, run.stdout + run.stderr
    # And that it can fail.
    (tmp_path / "worse.yaml").write_text(rendered.replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"))
    assert scan(tmp_path / "worse.yaml").returncode != 0
