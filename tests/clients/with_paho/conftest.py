import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from person import Person  # noqa: E402


@pytest.fixture
def person(broker):
    made = []

    def person(client_id, version, to=None, **options):
        made.append(Person((to or broker).port, client_id, version, **options))
        return made[-1]

    yield person
    for one in made:
        one.close()
