"""The curl program."""

import subprocess

from .reply import Reply
from .waiting import PATIENCE


class Curl:
    """Calls one base address: curl("/v2", "-H", "X: y") returns the last Reply."""

    def __init__(self, base):
        self.base = base

    def run(self, *arguments, stdin=None):
        """Runs curl as it is; returns the finished process."""
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", str(int(20 * PATIENCE)), *arguments],
            input=stdin, capture_output=True, timeout=30 * PATIENCE, check=False)

    def __call__(self, path, *arguments, stdin=None):
        done = self.run("--include", *arguments, self.base + path, stdin=stdin)
        assert done.returncode == 0, f"curl failed with {done.returncode}: {done.stderr.decode()}"
        rest = done.stdout
        while True:
            head, _, rest = rest.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            version, status, *reason = lines[0].split(" ", 2)
            if int(status) >= 200:
                break
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        return Reply(int(status), headers, rest, reason[0] if reason else "", version)
