#!/usr/bin/env bash
# tools/fuzz.sh [NAME]...: fuzzes each target of tests/fuzz for FUZZ_SECONDS (30).
#
# It starts from the committed corpus and from what earlier runs found, which is kept outside the
# tree. An input that breaks a target is left in build/fuzz/findings, with the line that runs it
# again: fix the code, then commit the input to tests/fuzz/corpus/<name>/.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$TREE"
SECONDS_EACH=${FUZZ_SECONDS:-30}
SCRATCH=$(tools/deps.sh cache)/fuzz
FINDINGS=$BUILD/fuzz/findings
build_preset fuzz || die "build/fuzz did not build (see above)"
mkdir -p "$FINDINGS" "$REPORTS"

names=("$@")
if [ "${#names[@]}" -eq 0 ]; then
    for source in tests/fuzz/fuzz_*.c; do
        [ -e "$source" ] || die "no fuzz targets in tests/fuzz"
        name=$(basename "$source" .c)
        names+=("${name#fuzz_}")
    done
fi

# Runs one target; libFuzzer's own talk goes to a log, shown only when it found something.
fuzz_one() {
    local name=$1 log=$FINDINGS/$1.log target=build/fuzz/fuzz/fuzz_$1 options=()
    local seeds=tests/fuzz/corpus/$name
    mkdir -p "$SCRATCH/$name"
    [ ! -e "tests/fuzz/$name.dict" ] || options=("-dict=tests/fuzz/$name.dict")
    [ ! -d "$seeds" ] || options+=("$seeds")
    if UBSAN_OPTIONS=print_stacktrace=1 "$target" -max_total_time="$SECONDS_EACH" -timeout=10 \
        -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$FINDINGS/$name-" \
        "$SCRATCH/$name" "${options[@]}" >"$log" 2>&1; then
        say "$name: nothing found in $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs"
        return 0
    fi
    tail -n 60 "$log"
    say "$name: FAILED; run again with: $target build/fuzz/findings/$name-..."
    return 1
}

say "${#names[@]} targets, $SECONDS_EACH s each, $JOBS at a time"
pids=()
failed=()
cases=''
# collect NAME PID: waits for one target and notes how it ended.
collect() {
    if wait "$2"; then
        cases+="<testcase classname=\"fuzz\" name=\"$1\"/>"
    else
        failed+=("$1")
        cases+="<testcase classname=\"fuzz\" name=\"$1\"><failure/></testcase>"
    fi
}
for i in "${!names[@]}"; do
    fuzz_one "${names[i]}" &
    pids[i]=$!
    if [ "$i" -ge $((JOBS - 1)) ]; then
        collect "${names[i - JOBS + 1]}" "${pids[i - JOBS + 1]}"
    fi
done
first=$((${#names[@]} - JOBS + 1))
for ((i = first > 0 ? first : 0; i < ${#names[@]}; i++)); do
    collect "${names[i]}" "${pids[i]}"
done
echo "<testsuite name=\"fuzz\">$cases</testsuite>" >"$REPORTS/fuzz.xml"
[ "${#failed[@]}" -eq 0 ] || die "findings in: ${failed[*]}"
