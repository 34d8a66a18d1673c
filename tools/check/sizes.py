#!/usr/bin/env python3
"""C files have at most 600 lines, functions of src/ at most 70, lines at most 100 characters.

A comment `allow(size): why` just above (or on the first line of the file) makes an exception.
"""
import re

from common import allowed, finish, sources, where, without_comments

FILE_LINES, FUNCTION_LINES, LINE_CHARACTERS = 600, 70, 100


def functions(text):
    """(first line, last line, head) of each brace block at file level that follows a `)`."""
    depth, start, head = 0, 0, ""
    for number, line in enumerate(without_comments(text).splitlines(), 1):
        if re.match(r"\s*#", line):
            continue
        for character in line:
            if character == "{":
                if depth == 0:
                    start = number
                depth += 1
            elif character == "}":
                depth -= 1
                if depth == 0:
                    if head.rstrip().endswith(")"):
                        yield start, number, head
                    head = ""
            elif depth == 0:
                head = "" if character == ";" else head + character
        if depth == 0:
            head += " "


def main():
    findings, files, longest = [], 0, 0
    for path in sources("src", "tests"):
        text = path.read_text()
        lines = text.splitlines()
        files += 1
        if len(lines) > FILE_LINES and not allowed(lines, 1, "size"):
            findings.append(f"{where(path, 1)}: {len(lines)} lines (at most {FILE_LINES})")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_CHARACTERS:
                findings.append(
                    f"{where(path, number)}: {len(line)} characters (at most {LINE_CHARACTERS})")
        if path.parts[-3] != "src" or path.suffix == ".def":
            continue
        for first, last, head in functions(text):
            size = last - first + 1
            longest = max(longest, size)
            if size > FUNCTION_LINES and not allowed(lines, first, "size"):
                names = re.findall(r"(\w+)\s*\(", head)
                findings.append(f"{where(path, first)}: {names[0] if names else 'function'} has "
                                f"{size} lines (at most {FUNCTION_LINES})")
    finish(findings, f"{files} files, longest function {longest} lines")


main()
