#!/usr/bin/env python3
"""coverage.py BUILD_FOLDER: executed lines per layer, from gcov; fails below a layer's floor."""
import collections
import json
import pathlib
import subprocess
import sys

# Percent of lines. Pure layers are held higher; raise a floor when a layer has risen above it.
FLOORS = {"tensor": 95, "protocol": 95, "drift": 95, "base": 95, "config": 90}


def executed_lines(build):
    """{(file, line): whether it ran}, over every object of the build."""
    lines = collections.defaultdict(bool)
    for notes in sorted(build.glob("CMakeFiles/inferd_*.dir/src/**/*.gcno")):
        text = subprocess.run(["gcov", "--json-format", "--stdout", str(notes)], cwd=build,
                              capture_output=True, text=True, check=True).stdout
        for document in text.splitlines():
            for file in json.loads(document)["files"]:
                parts = pathlib.PurePath(file["file"]).parts
                if "src" not in parts:
                    continue
                name = "/".join(parts[parts.index("src"):])
                for line in file["lines"]:
                    lines[name, line["line_number"]] |= line["count"] > 0
    return lines


def main():
    layers = collections.defaultdict(lambda: [0, 0])
    for (name, _), ran in executed_lines(pathlib.Path(sys.argv[1]).resolve()).items():
        layer = layers[name.split("/")[1]]
        layer[0] += ran
        layer[1] += 1
    low = False
    for name, (ran, total) in sorted(layers.items()):
        percent, floor = 100 * ran / total, FLOORS.get(name)
        mark = ""
        if floor and percent < floor:
            low, mark = True, f"  below its floor of {floor} %"
        print(f"coverage: {name:9} {percent:5.1f} % of {total:5} lines{mark}")
    sys.exit(low)


main()
