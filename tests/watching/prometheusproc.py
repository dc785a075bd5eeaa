"""A real Prometheus, in a directory of its own, on a port of its own."""

import json
import math
import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from brokerproc import Port

READY_WITHIN = 30.0
# Prometheus itself scrapes and evaluates as often as this; broker figures are taken once a second.
INTERVAL = "500ms"
JOB = "ferrymq"


def hurried(rules):
    """The text of a rule file with every `for` cut down: nobody waits for half an hour in a test."""
    return re.sub(r"^( *for:) .*$", r"\1 1s", rules, flags=re.M)


class Prometheus:
    """Scrapes `targets` (host:port) as the job `ferrymq` and evaluates `rules`, the text of a file."""

    def __init__(self, directory, targets, rules=""):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.lease = Port()
        self.log = self.directory / "prometheus.log"
        (self.directory / "rules.yaml").write_text(rules)
        # JSON is YAML.
        (self.directory / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL,
                       "evaluation_interval": INTERVAL},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": targets}]}],
        }))
        self.process = None

    def start(self):
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
                 f"--web.listen-address=127.0.0.1:{self.lease.number}"],
                cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_WITHIN
        while not self.is_ready():
            assert self.process.poll() is None, self.logged()
            assert time.monotonic() < deadline, f"not ready in {READY_WITHIN} s\n{self.logged()}"
            time.sleep(0.05)
        return self

    def is_ready(self):
        try:
            with urllib.request.urlopen(self.url("/-/ready"), timeout=5):
                return True
        except OSError:
            return False

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.lease.lease.close()

    def logged(self):
        return self.log.read_text(errors="replace")

    def url(self, path, **parameters):
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        return f"http://127.0.0.1:{self.lease.number}{path}{query}"

    def ask(self, path, **parameters):
        """The `data` of an answer; an error of the expression fails the test."""
        try:
            with urllib.request.urlopen(self.url(path, **parameters), timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def query(self, expression):
        """The samples that an expression has now, as (labels, value); those that are no number
        (0 divided by 0) are none."""
        result = self.ask("/api/v1/query", query=expression)["result"]
        samples = [(sample["metric"], float(sample["value"][1])) for sample in result]
        return [(labels, value) for labels, value in samples if not math.isnan(value)]

    def await_query(self, expression, within=30.0):
        """As `query`, once it answers anything; nothing after `within` seconds."""
        deadline = time.monotonic() + within
        while not (samples := self.query(expression)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return samples

    def rules(self):
        """All rules that it has loaded."""
        groups = self.ask("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing(self):
        """The alerts that fire now, by name; only the last one of those with the same name."""
        alerts = self.ask("/api/v1/alerts")["alerts"]
        return {a["labels"]["alertname"]: a for a in alerts if a["state"] == "firing"}

    def await_firing(self, name, within=90.0):
        deadline = time.monotonic() + within
        while name not in (firing := self.firing()):
            assert time.monotonic() < deadline, f"{name} does not fire, but {sorted(firing)}"
            time.sleep(0.2)
        return firing[name]

    def await_over(self, name, within=30.0):
        deadline = time.monotonic() + within
        while name in self.firing():
            assert time.monotonic() < deadline, f"{name} still fires"
            time.sleep(0.2)

    def await_evaluations(self, count=3, within=30.0):
        """Waits until every rule was evaluated `count` more times."""
        deadline = time.monotonic() + within
        for _ in range(count):
            before = self._evaluated()
            while any(at == before[name] for name, at in self._evaluated().items()):
                assert time.monotonic() < deadline, "the rules are not evaluated"
                time.sleep(0.05)

    def _evaluated(self):
        groups = self.ask("/api/v1/rules")["groups"]
        return {group["name"]: group["lastEvaluation"] for group in groups}
