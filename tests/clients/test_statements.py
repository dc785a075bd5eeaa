"""Every normative statement has a test or a reason why not."""

import re
from pathlib import Path

import pytest

import statements

HERE = Path(__file__).parent


def shown(directory):
    """Statements that tests show which are for this version, or for both."""
    found = set()
    for file in (*(HERE / directory).glob("test_*.py"), *(HERE / "both").glob("test_*.py")):
        source = file.read_text()
        for number in re.findall(r"^def test_(\d+_\d+_\d+_\d+)_", source, re.M):
            *section, n = number.split("_")
            found.add(".".join(section) + f"-{n}")
        for marks in re.findall(r"also\(([^)]*)\)", source):
            found |= set(re.findall(r"\d+\.\d+\.\d+-\d+", marks))
    return found


@pytest.mark.parametrize("directory,everything,without", [
    ("v311", statements.V311, statements.V311_WITHOUT_TEST),
    ("v5", statements.V5, statements.V5_WITHOUT_TEST)])
def test_every_statement_has_a_test(directory, everything, without):
    found = shown(directory)
    missing = [s for s in everything if s not in found and s not in without]
    assert not missing, f"no test and no reason: {missing}"
    assert not found - set(everything) - {"3.1.3-12", "3.8.2-1"}, found - set(everything)
    print(f"{directory}: {len(found & set(everything))} of {len(everything)} shown, {len(without)} not")
