"""`inferd bench` against a server of the tests."""

import json
import subprocess

from .server import REPORTS, as_flags, binary, clean_environment, run_inferd


class Bench:
    """Bench(server.url())(model="m") runs it to its end: `code`, `table`, `errors`, and what its
    JSON says as `said`; the first step of that as `step`."""

    def __init__(self, url, folder):
        self.url, self.file = url, folder / "bench.json"
        self.code = self.said = self.step = None
        self.table = self.errors = ""

    def flags(self, options):
        return ["bench", *as_flags({"url": self.url, "json": self.file, "warmup": "0",
                                    "duration": "60s", "timeout": "60s", **options})]

    def __call__(self, **options):
        done = run_inferd(*self.flags(options), seconds=80)
        return self.take(done.returncode, done.stdout, done.stderr)

    def start(self, **options):
        """Without waiting; give the process to `finish`."""
        return subprocess.Popen([str(binary()), *self.flags(options)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=clean_environment())

    def finish(self, process):
        table, errors = process.communicate(timeout=80)
        return self.take(process.returncode, table, errors)

    def take(self, code, table, errors):
        assert not REPORTS.search(errors), errors[-8000:]
        self.code, self.table, self.errors = code, table, errors
        if self.file.exists():
            self.said = json.loads(self.file.read_text())
            self.step = self.said["steps"][0] if self.said["steps"] else None
            self.file.unlink()
        return self
