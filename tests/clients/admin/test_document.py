"""The OpenAPI document: valid, and true."""

import pathlib
import re
import subprocess
import sys

import pytest
from openapi_spec_validator import validate

from conftest import TOKEN
from test_sessions import away

HERE = pathlib.Path(__file__).parent

# What may come of any request that the document allows, or nearly does.
CHECKS = ("not_a_server_error,response_schema_conformance,status_code_conformance,"
          "content_type_conformance")


def document(api):
    status, answer, _ = api.ask("GET", "/openapi.json", headers={"Authorization": ""})
    assert status == 200
    return answer


def test_the_document_is_valid(api):
    found = document(api)
    validate(found)
    operations = [o for item in found["paths"].values() for o in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names)) and all(o["summary"] for o in operations)


@pytest.mark.timeout(180)
def test_no_request_brings_what_the_document_does_not_say(admin, tmp_path):
    api = admin(HTTP__BACKUP_DIR=tmp_path)
    # So that lists have something in them.
    away(api, "c")
    for n in range(3):
        api.publish(f"q/{n}", qos=1, retain=True)
    tool = pathlib.Path(sys.executable).parent / "schemathesis"
    base = f"http://127.0.0.1:{api.broker.http_port}/api/v1"
    # 503 is an answer of its own here, and none of a fault: `checks` in its file.
    ran = subprocess.run(
        [tool, "--config-file", HERE / "schemathesis.toml", "run", f"{base}/openapi.json",
         "--header", f"Authorization: Bearer {TOKEN}", "--checks", CHECKS, "--phases",
         "examples,coverage,fuzzing", "--max-examples", "25", "--seed", "1", "--workers", "2",
         "--no-color", "--exclude-path", "/reload"],
        capture_output=True, text=True, timeout=170, cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr[-2_000:]
    assert api.broker.running() and api.get("/database")["state"] == "running"


def test_the_examples_of_the_manual_work(admin, tmp_path):
    """Every block of docs/admin-api.md, in its order, in one shell."""
    api = admin(HTTP__BACKUP_DIR=tmp_path)
    away(api, "sensor/1")
    away(api, "old-client")
    api.publish("q/1", "waits", qos=1)
    manual = (HERE.parents[2] / "docs/admin-api.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", manual, re.DOTALL)
    examples = [block for block in blocks if "curl" in block]
    assert len(examples) >= 10
    for example in examples:
        # That it exists is all that this one can show: its client is away.
        expected = 22 if "/disconnect" in example else 0
        shell = f"set -e\nAPI=http://127.0.0.1:{api.broker.http_port}/api/v1\n"
        shell += f'AUTH="Authorization: Bearer {TOKEN}"\n{example}'
        ran = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=30)
        assert ran.returncode == expected, (example, ran.stdout, ran.stderr)
