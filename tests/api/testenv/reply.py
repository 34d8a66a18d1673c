"""An HTTP answer as every tool of this package returns it."""

import json
from dataclasses import dataclass


@dataclass
class Reply:
    status: int
    headers: list  # (name, value) as they came
    body: bytes
    reason: str = ""
    version: str = "HTTP/1.1"

    def header(self, name):
        """The value of a header, or None. Fails when it came more than once."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"header {name} came {len(values)} times: {values}"
        return values[0] if values else None

    @property
    def json(self):
        return json.loads(self.body.decode("utf-8"))

    @property
    def error(self):
        """The text of an error answer: checks that the body is exactly {"error": "..."}."""
        body = self.json
        assert list(body) == ["error"], f"not an error body: {self.body[:300]!r}"
        assert isinstance(body["error"], str) and body["error"], body
        assert (self.header("Content-Type") or "").startswith("application/json"), self.headers
        return body["error"]
