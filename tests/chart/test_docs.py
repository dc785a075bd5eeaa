"""What docs/kubernetes.md shows can be used as it stands there."""

import re

import tomllib
import pytest
import yaml

import chart
import schemas

TEXT = (chart.ROOT / "docs/kubernetes.md").read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S)]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda b: "-".join(b))
def test_examples_are_taken(block, whole):
    if "kind" in block:
        for version in chart.KUBERNETES:
            assert schemas.complaints(block, version) == []
        return
    assert chart.render(block if "auth" in block else chart.merged(chart.OPEN, block), chart=whole)


def test_the_table_of_sizes_is_right():
    rows = re.findall(r"^\| (\d+Gi) \| ([\d,]+) MiB \| ([\d.]+) million \|$", TEXT, re.M)
    assert len(rows) == 3
    for claim, database, messages in rows:
        limit = tomllib.loads(chart.made(persistence={"size": claim}).toml())["persistence"]["max_size"]
        assert limit == database.replace(",", "") + "MiB"
        # 367 bytes for each, rounded.
        assert abs(int(limit.removesuffix("MiB")) * 2**20 / 367e6 / float(messages) - 1) < 0.05
