"""The numbered normative statements of both specifications, and those that no test can show.

A test shows the statement in its name (test_3_1_2_4_... is [MQTT-3.1.2-4]) and those in its
`also` mark.
"""


def _all(sections):
    return [f"{section}-{n}" for section, count in sections.items()
            for n in (count if isinstance(count, range) else range(1, count + 1))]


V311 = _all({
    "1.5.3": 3, "2.2.2": 2, "2.3.1": 7, "3.1.0": 2, "3.1.2": 24, "3.1.3": 11, "3.1.4": 5,
    "3.2.0": 1, "3.2.2": 6, "3.3.1": 12, "3.3.2": 3, "3.3.4": 1, "3.3.5": 2, "3.6.1": 1,
    "3.8.1": 1, "3.8.3": 4, "3.8.4": 6, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2, "3.10.4": 6,
    "3.12.4": 1, "3.14.1": 1, "3.14.4": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 2,
    "4.3.3": 2, "4.4.0": 1, "4.5.0": 2, "4.6.0": 6, "4.7.1": 3, "4.7.2": 1, "4.7.3": 4,
    "4.8.0": 2, "6.0.0": 4,
})
V5 = _all({
    "1.5.4": 3, "1.5.5": 1, "1.5.7": 1, "2.1.3": 1, "2.2.1": range(2, 7), "2.2.2": 1,
    "3.1.0": 2, "3.1.2": 30, "3.1.3": 12, "3.1.4": 6, "3.2.0": 2, "3.2.2": 22, "3.3.1": 13,
    "3.3.2": 20, "3.3.4": 10, "3.4.2": 3, "3.5.2": 3, "3.6.1": 1, "3.6.2": 3, "3.7.2": 3,
    "3.8.1": 1, "3.8.3": 5, "3.8.4": 8, "3.9.2": 2, "3.9.3": 2, "3.10.1": 1, "3.10.3": 2,
    "3.10.4": 6, "3.11.2": 2, "3.11.3": 2, "3.12.4": 1, "3.14.0": 1, "3.14.1": 1, "3.14.2": 4,
    "3.14.4": 3, "3.15.1": 1, "3.15.2": 3, "4.1.0": 2, "4.2.0": 1, "4.3.1": 1, "4.3.2": 5,
    "4.3.3": 13, "4.4.0": 2, "4.5.0": 2, "4.6.0": 6, "4.7.0": 1, "4.7.1": 2, "4.7.2": 1,
    "4.7.3": 4, "4.8.2": 6, "4.9.0": 3, "4.12.0": 7, "4.12.1": 2, "4.13.1": 1, "4.13.2": 1,
    "6.0.0": 4,
})

_CLIENT = "binds the client"
_NO_REASONS = "the answer this is about never carries a reason string or user properties"

V311_WITHOUT_TEST = {
    "2.3.1-3": _CLIENT, "3.1.2-23": _CLIENT, "3.14.4-1": _CLIENT,
    "4.1.0-2": "sessions outlive any connection: shown by the restart tests",
    "4.5.0-2": _CLIENT, "4.6.0-1": _CLIENT, "4.6.0-2": _CLIENT, "4.6.0-3": _CLIENT,
    "4.6.0-4": _CLIENT,
}
V5_WITHOUT_TEST = {
    "3.1.2-20": _CLIENT, "3.2.2-4": _CLIENT, "3.2.2-5": _CLIENT,
    "3.1.3-8": "no identifier is refused; too long a CONNECT is [3.2.2-15]",
    "3.5.2-2": _NO_REASONS, "3.5.2-3": _NO_REASONS, "3.6.2-2": _NO_REASONS, "3.6.2-3": _NO_REASONS,
    "3.7.2-2": _NO_REASONS, "3.7.2-3": _NO_REASONS, "3.14.2-4": _NO_REASONS,
    "3.15.2-2": _NO_REASONS, "3.15.2-3": _NO_REASONS,
    "4.3.2-3": "a message not acknowledged is sent again: [4.4.0-1]",
    "4.5.0-2": _CLIENT, "4.6.0-2": _CLIENT, "4.6.0-3": _CLIENT, "4.6.0-4": _CLIENT,
}
