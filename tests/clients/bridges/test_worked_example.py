"""The worked example of docs/bridging.md, as it is pasted: only the ports are others."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from brokerproc import BINARY
from documents import blocks, section

NEEDED = "mosquitto_sub", "mosquitto_pub", "curl"
pytestmark = pytest.mark.skipif(not all(map(shutil.which, NEEDED)), reason=f"{', '.join(NEEDED)} are not installed")
PORTS = "1883", "1884", "8080", "8081"


@pytest.fixture
def paste(tmp_path, port):
    """Runs commands in a shell of their own, in an empty directory. Brokers that they leave are
    killed."""
    started = []

    def paste(commands):
        numbers = {known: str(port()) for known in PORTS}
        commands = re.sub(r"\b(?:%s)\b" % "|".join(PORTS), lambda found: numbers[found[0]], commands)
        programs, work = tmp_path / "bin", tmp_path / "work"
        programs.mkdir()
        work.mkdir()
        (programs / "ferrymq").symlink_to(Path(BINARY).resolve())
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FERRYMQ_")}
        environment["PATH"] = f"{programs}:{environment['PATH']}"
        shell = subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.STDOUT, text=True, cwd=work, env=environment,
                                 start_new_session=True)
        started.append(shell)
        output = shell.communicate(commands, timeout=150)[0]
        logs = "".join(log.read_text() for log in work.glob("*.log"))
        assert shell.returncode == 0, f"{output}\n{logs}"
        return output

    yield paste
    for shell in started:
        try:
            os.killpg(shell.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.timeout(180)
def test_both_brokers_are_killed_and_all_messages_arrive_once_and_in_order(paste):
    example = section("bridging.md", "Try it: pull the plug")
    commands, shown = blocks(example, "sh"), blocks(example, "")
    assert len(commands) == 3 and len(shown) == 2, "this test knows three steps"
    output = paste("".join(commands))
    queued = re.search(r'^ferrymq_bridge_queued_messages\{bridge="central"\} (\d+)$', output, re.MULTILINE)
    assert queued and 1000 <= int(queued[1]) <= 2000, output
    assert 'ferrymq_bridge_connected{bridge="central"} 0' in output.splitlines(), output
    assert output.endswith(shown[-1]), output
