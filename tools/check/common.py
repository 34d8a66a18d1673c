"""Shared by the checks: which files there are, C text without comments, and how findings end."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def files():
    """Every file that git tracks or would track; without git, all but what is built."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    else:
        made = {".git", "build", "__pycache__", ".pytest_cache"}
        paths = (p for p in ROOT.rglob("*") if not made & set(p.relative_to(ROOT).parts))
    return sorted(p for p in paths if p.is_file() and not p.is_symlink())


def sources(*folders, suffixes=(".c", ".h", ".def")):
    """The C files below the folders."""
    return [p for p in files() if p.suffix in suffixes
            and p.relative_to(ROOT).parts[0] in folders]


def where(path, line):
    return f"{path.relative_to(ROOT)}:{line}"


def without_comments(text):
    """The text with comments blanked and strings emptied, each line where it was."""
    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            return token[0] + " " * (len(token) - 2) + token[0]
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, text)


def allowed(lines, number, rule):
    """Whether line `number` (from 1), or one of the three before it, says `allow(rule): why`."""
    near = lines[max(0, number - 4):number]
    return any(re.search(rf"allow\({rule}\): \S", line) for line in near)


def finish(findings, summary):
    if findings:
        print("\n".join(findings))
        sys.exit(1)
    print(summary)
