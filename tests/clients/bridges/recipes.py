"""The recipes of docs/bridging-clouds.md: the configuration as it is there, but for its addresses
and files."""

import re
import tomllib

from documents import blocks, section

SECTIONS = {"aws": "AWS IoT Core", "azure": "Azure Event Grid", "hivemq": "HiveMQ Cloud", "emqx": "EMQX Cloud"}


def recipe(service):
    found = blocks(section("bridging-clouds.md", SECTIONS[service]), "toml")
    assert len(found) == 1, f"{len(found)} configurations of {service}"
    return found[0]


def changed(text, pattern, new):
    """With something replaced, which has to be there."""
    text, count = re.subn(pattern, new, text)
    assert count, f"the recipe has no {pattern}"
    return text


def fitted(text, port, files):
    """To a stand-in on `port`; `files` are found by the last part of the key that names them."""
    text = changed(text, r'mqtts://[^":]+:\d+', f"mqtts://localhost:{port}")
    for key, file in files.items():
        text = re.sub(rf'^{key} = ".*"$', f'{key} = "{file}"', text, flags=re.MULTILINE)
    left = re.findall(r'= "(/.*)"', text)
    assert set(left) <= set(map(str, files.values())), f"files that the test does not know: {left}"
    tomllib.loads(text)
    return text
