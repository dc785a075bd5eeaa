import pytest

import chart


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The chart with all its files."""
    return chart.complete_chart(tmp_path_factory.mktemp("chart"))
