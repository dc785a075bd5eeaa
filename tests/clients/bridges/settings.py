"""The configuration of bridges: for the environment, and for the file."""

import json


def written(value):
    """A value as TOML has it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {written(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value if isinstance(value, (bool, int)) else str(value))


def keys_of(remotes, keys):
    """`remotes` is one or several: a port, an address, or whatever has a port."""
    addresses = [remote if isinstance(remote, str) else f"mqtt://127.0.0.1:{getattr(remote, 'port', remote)}"
                 for remote in (remotes if isinstance(remotes, list) else [remotes])]
    # Waits of a second: what happens after longer ones is the same.
    return {"addresses": addresses, "max_backoff": "1s", **keys}


def bridge(remotes, name="up", **keys):
    """The settings of a broker with a bridge."""
    return {f"BRIDGES__{name.upper()}__{key.upper()}": value if isinstance(value, str) else written(value)
            for key, value in keys_of(remotes, keys).items()}


def table(remotes, name="up", **keys):
    """The bridge's table in a configuration file."""
    lines = [f"{key} = {written(value)}" for key, value in keys_of(remotes, keys).items()]
    return "\n".join([f"[bridges.{name}]", *lines, ""])


def rule(filter, **keys):
    return {"filter": filter, **keys}


BOTH_WAYS = {"forward": [rule("#")], "subscribe": [rule("#")]}
