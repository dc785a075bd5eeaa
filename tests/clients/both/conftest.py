import pytest

import raw


@pytest.fixture(params=[raw.V311, raw.V5], ids=["v311", "v5"])
def version(request):
    return request.param
