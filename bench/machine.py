"""What a result must say about where it was measured: the machine, the versions, the commit."""
import os
import pathlib
import platform
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]


class BenchError(Exception):
    """Ends the benchmark with one clear line."""


def tool(name):
    """The path of a program that may stand in a folder that only root has in PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        raise BenchError(f"{name} is missing: tools/deps.sh bench")
    return path


def output_of(*command):
    """What a command prints, both streams together; its exit status does not matter."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return done.stdout.strip()


def first_match(pattern, text, otherwise="unknown"):
    match = re.search(pattern, text, re.M)
    return match.group(1).strip() if match else otherwise


def commit():
    """(the commit's short name, whether the sources differ from it)."""
    name = output_of("git", "rev-parse", "--short=10", "HEAD")
    if not re.fullmatch(r"[0-9a-f]+", name):
        return "unknown", False
    changed = output_of("git", "status", "--porcelain", "--untracked-files=no", "--", ".",
                        ":!bench/results")
    return name, bool(changed)


def describe():
    """The machine; what cannot be read is "unknown"."""
    cpu = first_match(r"^Model name:\s*(.*)$", output_of("lscpu"))
    if cpu == "unknown":
        cpu = first_match(r"^model name\s*:\s*(.*)$", pathlib.Path("/proc/cpuinfo").read_text())
    release = pathlib.Path("/etc/os-release")
    memory = first_match(r"^MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(), "0")
    return {
        "cpu": cpu,
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(memory) * 1024 / 1e9, 1),
        "kernel": platform.release(),
        "system": first_match(r'^PRETTY_NAME="?([^"\n]*)',
                              release.read_text() if release.is_file() else ""),
        "virtual": first_match(r"^Hypervisor vendor:\s*(.*)$", output_of("lscpu"), "no"),
    }


def versions(inferd):
    return {
        "inferd": first_match(r"^(?:inferd )?([^,\n]+)", output_of(str(inferd), "--version")),
        "nginx": first_match(r"nginx/(\S+)", output_of(tool("nginx"), "-v")),
        "python": platform.python_version(),
    }


def cores():
    """(server's core, client's core, whether they differ): the first two this process may use."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[min(1, len(allowed) - 1)], len(allowed) > 1


def placed_on(core):
    """What a measured process does first: it stays on one core, ahead of other programs.

    Where the kernel groups processes by session (autogroup) and lets us, the group goes first:
    other work on the same cores then disturbs less. Both servers and the client do the same.
    """
    def place():
        os.sched_setaffinity(0, core if isinstance(core, set) else {core})
        os.setsid()
        try:
            with open("/proc/self/autogroup", "w", encoding="ascii") as group:
                group.write("-20")
        except OSError:
            pass
    return place


def core_busy_ticks(core):
    """(ticks that the core worked, ticks that the host took from it) since it started."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0] == f"cpu{core}":
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, fields[1:9])
            return user + nice + system + irq + softirq, steal
    return 0, 0
