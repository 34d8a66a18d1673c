#!/usr/bin/env python3
"""What no committed file holds: paths of one machine, hosts of package registries, binaries.

Models (models/**/*.onnx), pictures of the documents and the fuzz corpora may be binary. Text ends
with a newline and has no trailing blanks (Markdown's line breaks and the corpora aside).
"""
import re

from common import ROOT, files, finish, where

MACHINE_PATHS = re.compile(r"(?<![\w./$}-])/(?:work|root|home/\w+|Users/\w+)(?=/)")
# Written apart, so that this file does not hold them itself.
REGISTRIES = re.compile("|".join(name.replace(" ", r"\.") for name in (
    "deb debian org", "security debian org", "archive ubuntu com", "pypi org",
    "pythonhosted org", "registry npmjs org", "proxy golang org", "sum golang org",
    "static crates io", "index crates io", "repo1 maven org", "repo maven apache org",
    "rubygems org")))
BINARY_FOLDERS = ("models/", "tests/fuzz/corpus/", "docs/")
BINARY_SUFFIXES = {"models/": {".onnx"}, "docs/": {".png", ".webp"}}
BINARY_BYTES_MAX = 1 << 20
KEEP_BLANKS = (".md", ".patch", ".diff")


def check_binary(path, name, data, findings):
    folder = next((f for f in BINARY_FOLDERS if name.startswith(f)), None)
    suffixes = BINARY_SUFFIXES.get(folder)
    if folder is None or (suffixes and path.suffix not in suffixes):
        findings.append(f"{name}: a binary file")
    elif len(data) > BINARY_BYTES_MAX:
        findings.append(f"{name}: {len(data)} bytes (at most {BINARY_BYTES_MAX})")


def check_text(path, name, text, findings):
    for number, line in enumerate(text.split("\n"), 1):
        if MACHINE_PATHS.search(line):
            findings.append(f"{where(path, number)}: a path of one machine")
        if REGISTRIES.search(line):
            findings.append(f"{where(path, number)}: the host of a package registry")
        if line != line.rstrip() and path.suffix not in KEEP_BLANKS:
            findings.append(f"{where(path, number)}: trailing blanks")
    if text and not text.endswith("\n"):
        findings.append(f"{name}: no newline at the end")


def main():
    findings, count = [], 0
    for path in files():
        name, data = str(path.relative_to(ROOT)), path.read_bytes()
        count += 1
        if name.startswith("tests/fuzz/corpus/"):
            if len(data) > BINARY_BYTES_MAX:
                findings.append(f"{name}: {len(data)} bytes (at most {BINARY_BYTES_MAX})")
            continue
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:
            check_binary(path, name, data, findings)
        else:
            check_text(path, name, text, findings)
    finish(findings, f"{count} files")


main()
