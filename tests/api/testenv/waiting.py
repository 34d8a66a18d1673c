"""Waiting for something to become true, bounded, and longer on instrumented builds."""

import os
import time

FLAVOUR = os.environ.get("INFERD_TEST_FLAVOUR", "release")
# How much slower everything may be than on an idle machine with a release build.
PATIENCE = {"release": 1.0, "dev": 1.5, "asan": 3.0, "tsan": 5.0}.get(FLAVOUR, 2.0)


def until(condition, seconds=10.0, what=None):
    """Calls `condition` until what it returns is true, and returns that; fails when time is up."""
    deadline = time.monotonic() + seconds * PATIENCE
    pause = 0.005
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s in vain for "
                                 f"{what or condition.__doc__ or condition}; last: {found!r}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)
