"""A broker whose admin API is on, and a client for it."""

import base64
import http.client
import json
import urllib.parse

import pytest

TOKEN = "test-token-0123456789"


class Api:
    def __init__(self, broker, token=TOKEN):
        self.broker, self.token = broker, token

    def ask(self, method, path, body=None, headers=None, **query):
        """(status, JSON or None, headers) of a request below /api/v1."""
        connection = http.client.HTTPConnection("127.0.0.1", self.broker.http_port, timeout=30)
        query = {name: value for name, value in query.items() if value is not None}
        if query:
            path += "?" + urllib.parse.urlencode(query)
        all_headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            all_headers["Content-Type"] = "application/json"
            body = body if isinstance(body, (bytes, str)) else json.dumps(body)
        try:
            connection.request(method, f"/api/v1{path}", body, all_headers | (headers or {}))
            answer = connection.getresponse()
            text = answer.read()
            kind = answer.getheader("content-type") or ""
            return answer.status, json.loads(text) if "json" in kind else None, answer.headers
        finally:
            connection.close()

    def ok(self, method, path, body=None, status=200, **query):
        got, answer, _ = self.ask(method, path, body, **query)
        assert got == status, (got, answer)
        return answer

    def get(self, path, **query):
        return self.ok("GET", path, **query)

    def problem(self, status, method, path, body=None, **query):
        """The kind of the problem that this request has."""
        got, answer, headers = self.ask(method, path, body, **query)
        assert got == status, (got, answer)
        assert headers["content-type"] == "application/problem+json"
        assert set(answer) == {"type", "title", "status", "detail", "instance"}, answer
        assert answer["status"] == status and answer["instance"] == f"/api/v1{path}"
        return answer["type"].removeprefix("urn:ferrymq:problem:")

    def all(self, path, **query):
        """Every item of every page, and how many pages there were."""
        items, cursor, pages = [], None, 0
        while True:
            page = self.get(path, cursor=cursor, **query)
            items += page["items"]
            pages, cursor = pages + 1, page["next"]
            if cursor is None:
                return items, pages

    def publish(self, topic, payload="x", **more):
        return self.ok("POST", "/publish", {"topic": topic, "payload": payload, **more})


def segment(text):
    """One segment of a path."""
    return urllib.parse.quote(text, safe="")


def session(client_id):
    return f"/sessions/{segment(client_id)}"


def decoded(text):
    return base64.b64decode(text)


@pytest.fixture
def admin(make_broker):
    """Starts a broker and answers with its API."""
    def make(token=TOKEN, start=True, **settings):
        broker = make_broker(start=start, HTTP__TOKEN=token, **settings)
        return Api(broker, token)
    return make


@pytest.fixture
def api(admin):
    return admin()
