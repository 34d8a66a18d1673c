"""From trials to figures: medians over the rounds, targets, a Markdown page and JSON."""
import json
import statistics

RATIO_MAX, READY_MS_MAX, RESIDENT_MB_MAX = 1.5, 150, 60
OTHERS_PERCENT_MAX = 10  # beyond: the machine was too busy for figures that others may quote
TARGET_CONNECTIONS = 64


class Figure:
    """Several measurements of one thing: the median, and from the least to the most."""

    def __init__(self, values):
        self.values = list(values)
        self.median = statistics.median(self.values)
        self.low, self.high = min(self.values), max(self.values)

    def text(self, digits=1):
        return (f"{self.median:,.{digits}f} "
                f"({self.low:,.{digits}f}–{self.high:,.{digits}f})")

    def as_json(self):
        return {"median": self.median, "min": self.low, "max": self.high, "values": self.values}


def pick(rounds, field, **wanted):
    """A figure of one field: one value a round."""
    return Figure(trial[field] for trials in rounds for trial in trials
                  if all(trial.get(key) == value for key, value in wanted.items()))


def summarise(result):
    """Adds `figures` (by name) and `targets` (rows) to the result; returns the figures."""
    rounds = result["rounds"]
    figures = {}
    for server in ("inferd", "nginx"):
        for connections in result["parameters"]["connections"]:
            for field in ("requests_per_second", "cpu_us", "busy_percent", "p50_us", "p99_us"):
                figures[f"{server} {connections} {field}"] = pick(
                    rounds, field, kind="load", server=server, connections=connections)
    for batch in result["parameters"]["batches"]:
        figures[f"bare {batch} cpu_us"] = pick(rounds, "cpu_us", kind="bare", batch=batch)
    at = TARGET_CONNECTIONS
    figures["ratio"] = Figure(
        inferd / (nginx + bare) for inferd, nginx, bare in zip(
            figures[f"inferd {at} cpu_us"].values, figures[f"nginx {at} cpu_us"].values,
            figures["bare 1 cpu_us"].values))
    figures["ready_ms"] = Figure(1000 * seconds for seconds in result["ready_seconds"])
    figures["others_percent"] = pick(rounds, "others_percent", kind="load")
    figures["stolen_percent"] = pick(rounds, "stolen_percent", kind="load")
    resident = result["memory"]["resident_bytes"] / 1e6
    rows = [
        (f"server CPU per request at {at} connections ÷ (nginx + bare `Run`)",
         figures["ratio"].text(2), f"≤ {RATIO_MAX}", figures["ratio"].median <= RATIO_MAX),
        ("start to ready, ms", figures["ready_ms"].text(0), f"≤ {READY_MS_MAX}",
         figures["ready_ms"].median <= READY_MS_MAX),
        (f"resident memory after {result['memory']['requests']:,} requests, MB",
         f"{resident:.1f}", f"≤ {RESIDENT_MB_MAX}", resident <= RESIDENT_MB_MAX),
    ]
    result["targets"] = [{"what": what, "measured": measured, "target": target, "pass": passed}
                         for what, measured, target, passed in rows]
    result["figures"] = {name: figure.as_json() for name, figure in figures.items()}
    return figures


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def targets_table(result):
    return table(("target", "measured", "to reach", "result"), [
        (row["what"], row["measured"], row["target"], "PASS" if row["pass"] else "FAIL")
        for row in result["targets"]])


def servers_table(result, figures):
    names = {"inferd": "inferd", "nginx": "nginx, static answer"}
    rows = []
    for server, name in names.items():
        for connections in result["parameters"]["connections"]:
            figure = {field: figures[f"{server} {connections} {field}"] for field in (
                "requests_per_second", "cpu_us", "busy_percent", "p50_us", "p99_us")}
            rows.append((name, str(connections), figure["requests_per_second"].text(0),
                         figure["cpu_us"].text(1), f"{figure['busy_percent'].median:.0f} %",
                         f"{figure['p50_us'].median:,.0f}", f"{figure['p99_us'].median:,.0f}"))
    return table(("server", "connections", "requests/s", "server CPU µs per request",
                  "server's core used", "p50 µs", "p99 µs"), rows)


def bare_table(result, figures):
    rows = []
    for batch in result["parameters"]["batches"]:
        figure = figures[f"bare {batch} cpu_us"]
        rows.append((str(batch), figure.text(2), f"{figure.median / batch:.2f}"))
    return table(("rows of a run", "CPU µs per run", "per row"), rows)


def notes(result, figures):
    """What a reader must know to judge the figures."""
    lines = []
    if figures["others_percent"].median > OTHERS_PERCENT_MAX:
        lines.append("**The machine was busy with other work: do not quote these figures.**")
    if not result["parameters"]["two_cores"]:
        lines.append("One core only: server and client share it, so requests per second say "
                     "little; CPU per request still holds.")
    for server in ("inferd", "nginx"):
        requests = sum(t["requests"] for r in result["rounds"] for t in r
                       if t.get("server") == server)
        logged = sum(t["log_lines"] for r in result["rounds"] for t in r
                     if t.get("server") == server)
        # Requests still on their way when wrk stops are answered and logged, but not counted by it.
        lines.append(f"{server} wrote {logged:,} log lines for {requests:,} counted requests.")
    if result["log_lines_dropped"]:
        lines.append(f"inferd dropped {result['log_lines_dropped']:,} log lines because the log's "
                     "file was slow, which saved it their writing.")
    lines.append("Other work on the server's core (interrupts, other programs): "
                 f"{figures['others_percent'].text(0)} % of the time; taken by the host: "
                 f"{figures['stolen_percent'].text(0)} %.")
    return "\n".join(f"- {line}" for line in lines)


METHOD = """\
Both servers run on core {server_core}, one after the other under load; the client, wrk with one
thread, runs on core {client_core}; all of them ahead of other programs where the system allows it
(`/proc/PID/autogroup`). Each of {rounds} rounds measures everything once, every second
round in reverse order; a figure is the median over the rounds, with the least and the most in
brackets. CPU time is user plus system time of all threads of all processes of the server, from
`/proc/PID/stat`, over the requests that wrk counted. wrk is a closed loop: it sends the next
request of a connection when the answer of the one before has come.

- inferd has its defaults: metrics on, an access log line for each request, written to a file. Every
  request is the row of `{request}` as JSON; before and after
  the load, its answer was compared with bare `Run`'s.
- nginx has one worker, keep-alive without a limit of requests, an access log in its default format
  to a file, and answers the same POST with the same {answer_bytes} bytes from its configuration
  (`return 200`: a static file refuses POST; the request's body is read and thrown away).
- bare `Run` is ONNX Runtime's C API in a loop on core {server_core}: same model, same row, one
  thread, outputs made by ONNX Runtime.
- The ratio is made in each round from that round's figures.
- Start to ready is from before fork and exec to the first 200 of `/v2/health/ready`, asked every
  millisecond, {starts} times, files in the page cache.
- Resident memory is VmRSS of a fresh server, shared libraries included; 1 MB is 10⁶ bytes."""


def markdown(result):
    figures = summarise(result)
    machine, versions = result["machine"], result["versions"]
    sections = [
        f"# Benchmark of {result['date']}, commit {result['commit']}"
        + (" with changes" if result["changed"] else ""),
        targets_table(result),
        servers_table(result, figures),
        "ONNX Runtime's bare `Run`, one thread:",
        bare_table(result, figures),
        notes(result, figures),
        "## Machine",
        f"{machine['cpu']}, {machine['architecture']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, hypervisor: {machine['virtual']}; {machine['system']}, "
        f"kernel {machine['kernel']}.\n\n"
        + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "## How",
        METHOD.format(**result["parameters"]),
        "Commands:",
        "\n".join("    " + command for command in result["commands"]),
    ]
    return "\n\n".join(sections) + "\n"


def write(result, folder, name):
    """Writes NAME.md and NAME.json; returns the Markdown."""
    text = markdown(result)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return text
