"""What the documents have to paste: the blocks of their sections."""

import re

from brokerproc import ROOT


def section(document, title):
    """The text below a heading of docs/`document`, to the next one of the same level or above."""
    found, level, fenced = [], None, False
    for line in (ROOT / "docs" / document).read_text().splitlines(keepends=True):
        fenced ^= line.startswith("```")
        heading = None if fenced else re.match("(#+) (.*)", line)
        if level and heading and len(heading[1]) <= level:
            break
        if level:
            found.append(line)
        elif heading and heading[2] == title:
            level = len(heading[1])
    assert level, f"docs/{document} has no section {title!r}"
    return "".join(found)


def blocks(text, language):
    """The fenced blocks of a language; "" for those without one, which show output."""
    return [body for found, body in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
            if found == language]
