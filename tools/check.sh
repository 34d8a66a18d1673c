#!/usr/bin/env bash
# Runs every repository check of tools/check; each is a program that prints what is wrong, one
# finding a line (file:line: what), and fails. NAME... runs only those.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

cd "$TREE"
mkdir -p "$REPORTS"
failures=0
cases=''
for check in tools/check/*.sh tools/check/*.py; do
    name=$(basename "${check%.*}")
    [ "$name" != common ] || continue
    if [ $# -gt 0 ] && [[ " $* " != *" $name "* ]]; then
        continue
    fi
    if output=$("$check" 2>&1); then
        cases+="<testcase classname=\"check\" name=\"$name\"/>"
        printf 'check: %-10s ok%s\n' "$name" "${output:+ ($output)}"
    else
        failures=$((failures + 1))
        cases+="<testcase classname=\"check\" name=\"$name\"><failure/></testcase>"
        printf 'check: %-10s FAILED\n%s\n' "$name" "$output"
    fi
done
echo "<testsuite name=\"check\">$cases</testsuite>" >"$REPORTS/check.xml"
[ "$failures" -eq 0 ] || die "$failures of the repository checks failed"
