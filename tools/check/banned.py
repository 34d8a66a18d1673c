#!/usr/bin/env python3
"""Functions that src/ does not call, each with what to use instead.

A comment `allow(banned): why` on the line, or just above, makes an exception.
"""
import re

from common import allowed, finish, sources, where, without_comments

BOUNDED = "no bound: use base/buffer.h, base/str.h or snprintf"
REENTRANT = "one buffer for all threads: use the _r form"
NUMBERS = "cannot tell an error: use base/num.h"
BANNED = {
    **dict.fromkeys("strcpy strcat stpcpy sprintf vsprintf gets wcscpy wcscat".split(), BOUNDED),
    **dict.fromkeys("strncpy strncat".split(), "may leave no terminator, or the wrong bound"),
    **dict.fromkeys("strtok gmtime localtime ctime asctime getpwnam getgrnam inet_ntoa "
                    "gethostbyname rand srand".split(), REENTRANT),
    **dict.fromkeys("ctime_r asctime_r".split(), "no bound on what is written: use strftime"),
    **dict.fromkeys("atoi atol atoll atof".split(), NUMBERS),
    **dict.fromkeys("scanf sscanf fscanf vsscanf".split(), "overflow is undefined: parse by hand"),
    **dict.fromkeys("alloca strdupa strndupa".split(), "the stack has no way to say no"),
    **dict.fromkeys("tmpnam tempnam mktemp".split(), "a race: use mkstemp"),
    **dict.fromkeys("system popen".split(), "no shell in a server"),
    **dict.fromkeys("siglongjmp longjmp setjmp".split(), "no jumps"),
    **dict.fromkeys("usleep ualarm".split(), "obsolete: use nanosleep"),
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")


def main():
    findings, files = [], 0
    for path in sources("src"):
        text = path.read_text()
        lines = text.splitlines()
        files += 1
        for number, line in enumerate(without_comments(text).splitlines(), 1):
            for match in CALL.finditer(line):
                if not allowed(lines, number, "banned"):
                    name = match.group(1)
                    findings.append(f"{where(path, number)}: {name}: {BANNED[name]}")
    finish(findings, f"{files} files, {len(BANNED)} functions")


main()
