#!/usr/bin/env bash
# Prints the lines of each layer that the unit tests and fuzz corpora execute, and fails when a
# layer falls below its floor in tools/coverage.py.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

build_preset coverage || die "build/coverage did not build (see above)"
find "$BUILD/coverage" -name '*.gcda' -delete
ctest --test-dir "$BUILD/coverage" --parallel "$JOBS" --quiet --output-on-failure ||
    die "tests failed"
python3 "$TREE/tools/coverage.py" "$BUILD/coverage"
