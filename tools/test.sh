#!/usr/bin/env bash
# tools/test.sh all|unit|api|asan|tsan: builds, runs those tests, and ends with one line of counts.
#
# Every stage runs even when an earlier one failed, so that one run shows everything. Each writes a
# JUnit report into build/reports, from which the counts come; a stage that could not run at all
# (the build broke, the runner crashed) counts as one failure.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

WHAT=${1:-all}
PYTHON=$("$TREE/tools/deps.sh" venv-test)/bin/python
failed=()
# Test files that run side by side; most of a test's time is waiting.
API_JOBS=${API_JOBS:-$((JOBS * 2))}
# Without address randomisation gcc's ThreadSanitizer also starts on kernels that use much of it.
STEADY=()
if setarch -R true 2>/dev/null; then
    STEADY=(setarch -R)
fi

# stage NAME COMMAND...: runs it; a failure is remembered and the next stage still runs.
stage() {
    local name=$1 started=$SECONDS
    shift
    if "$@"; then
        say "$name: passed ($((SECONDS - started)) s)"
    else
        say "$name: FAILED ($((SECONDS - started)) s)"
        failed+=("$name")
        # No report, or one without a failure in it: say so in a report of our own.
        python3 "$TREE/tools/summary.py" --ensure-failure "$REPORTS/$name.xml" "$name"
    fi
}

unit_tests() {
    local preset=$1
    say "unit tests of build/$preset"
    "${@:2}" ctest --test-dir "$BUILD/$preset" --parallel "$JOBS" --no-tests=error --no-label-summary \
        --output-on-failure --output-junit "$REPORTS/unit-$preset.xml" |
        grep -v -e '\bPassed\b' -e '^ *Start ' -e '^Internal ctest' -e '^Test project'
    return "${PIPESTATUS[0]}"
}

api_tests() {
    local preset=$1
    say "black-box tests of build/$preset/inferd"
    local flags=()
    [ "$preset" != tsan ] || flags=(-m tsan)
    "$PYTHON" "$TREE/tests/data/make_models.py" "$BUILD/test-models" >/dev/null || return 1
    # shellcheck disable=SC2086 # PYTEST_ARGS holds several words
    (cd "$TREE" && INFERD_BIN=$BUILD/$preset/inferd INFERD_TEST_FLAVOUR=$preset \
        INFERD_TEST_MODELS=$BUILD/test-models \
        ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 \
        LSAN_OPTIONS=suppressions=$TREE/cmake/lsan.supp:print_suppressions=0 \
        UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
        TSAN_OPTIONS=suppressions=$TREE/cmake/tsan.supp:halt_on_error=1:second_deadlock_stack=1 \
        "${@:2}" "$PYTHON" -m pytest -q -p no:cacheprovider "${flags[@]}" \
        --numprocesses "$API_JOBS" --dist loadfile --durations=5 \
        --junitxml="$REPORTS/api-$preset.xml" tests/api ${PYTEST_ARGS:-})
}

run_preset() {
    local preset=$1 steady=()
    [ "$preset" != tsan ] || steady=("${STEADY[@]}")
    stage "build-$preset" build_preset "$preset"
    if [[ " ${failed[*]} " == *" build-$preset "* ]]; then
        return
    fi
    if [ "$WHAT" != api ]; then
        stage "unit-$preset" unit_tests "$preset" "${steady[@]}"
    fi
    if [ "$WHAT" != unit ]; then
        stage "api-$preset" api_tests "$preset" "${steady[@]}"
    fi
}

case "$WHAT" in
all | unit | api | asan | tsan) ;;
*) die "unknown kind of test '$WHAT'; known: all unit api asan tsan" ;;
esac
"$TREE/tools/deps.sh" test
rm -rf "$REPORTS"
mkdir -p "$REPORTS"
case "$WHAT" in
all)
    for preset in release asan tsan; do
        run_preset "$preset"
    done
    stage check "$TREE/tools/check.sh"
    ;;
unit | api) run_preset release ;;
asan | tsan) run_preset "$WHAT" ;;
esac

[ "${#failed[@]}" -eq 0 ] || say "failed: ${failed[*]}"
say "$(python3 "$TREE/tools/summary.py" "$REPORTS") in $SECONDS s"
[ "${#failed[@]}" -eq 0 ]
