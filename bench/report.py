"""From trials to figures: medians over the rounds, targets, a Markdown page, JSON and a plot."""
import json
import statistics

import plot

READY_MS_MAX, RESIDENT_MIB_MAX = 100, 60
OTHERS_PERCENT_MAX = 10  # beyond: the machine was too busy for figures that others may quote
PROTOCOL_NAMES = {"rest": "REST, JSON", "rest-binary": "REST, binary", "grpc": "gRPC",
                  "static": "static, HTTP/1.1", "static-http2": "static, HTTP/2"}


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


def matching(trials, **wanted):
    return [trial for trial in trials
            if all(trial.get(key) == value for key, value in wanted.items())]


def value(trials, field, server, workload, protocol, in_flight):
    """One round's figure of one case."""
    (trial,) = matching(trials, server=server, workload=workload, protocol=protocol,
                        in_flight=in_flight)
    return trial[field]


def bare_us(trials, workload, field="wall_us"):
    """What a bare Run took in one round: measured before and behind the loads."""
    found = matching(trials, kind="bare", workload=workload)
    return statistics.mean(trial[field] for trial in found)


def one_line(trials):
    """For the terminal, while the rounds run."""
    rest = value(trials, "cpu_us", "inferd", "tabular", "rest", 64)
    grpc = value(trials, "cpu_us", "inferd", "tabular", "grpc", 64)
    static = value(trials, "cpu_us", "nginx", "tabular", "static", 64)
    static2 = value(trials, "cpu_us", "nginx", "tabular", "static-http2", 64)
    return (f"CPU µs per request at 64 in flight: REST {rest:.1f} (nginx {static:.1f}), "
            f"gRPC {grpc:.1f} (nginx {static2:.1f}); bare Run {bare_us(trials, 'tabular'):.1f}")


def per_round(result, function):
    return Figure(function(trials) for trials in result["rounds"])


def throughput_ratio(result, workload, protocol, in_flight=8):
    """Requests per second ÷ what one thread of bare Run does, in each round."""
    return per_round(result, lambda trials: value(
        trials, "requests_per_second", "inferd", workload, protocol, in_flight)
        * bare_us(trials, workload) / 1e6)


def cpu_ratio(result, protocol, static, extra=0):
    return per_round(result, lambda trials: value(
        trials, "cpu_us", "inferd", "tabular", protocol, 64) / (
        value(trials, "cpu_us", "nginx", "tabular", static, 64)
        + extra * bare_us(trials, "tabular", "cpu_us")))


def batching_ratio(result, protocol):
    return per_round(result, lambda trials: value(
        trials, "requests_per_second", "inferd", "tabular", protocol, 64)
        / value(trials, "requests_per_second", "inferd-unbatched", "tabular", protocol, 64))


def peer_ratio(result, protocol):
    """inferd ÷ the quickest peer, requests per second at 64 in flight, measured side by side."""
    best = None
    for peer in result["peers"].values():
        cases = matching(peer["trials"], workload="tabular", protocol=protocol, in_flight=64)
        theirs = [trial["requests_per_second"] for trial in cases if trial["server"] != "inferd"]
        ours = [trial["requests_per_second"] for trial in cases if trial["server"] == "inferd"]
        if theirs:
            ratio = Figure(our / their for our, their in zip(ours, theirs, strict=True))
            best = ratio if best is None or ratio.median < best.median else best
    return best


def target_rows(result):
    """(what, figure, digits, "at most" or "at least", bound)"""
    at = "tabular at 64 in flight"
    rows = [
        (f"{at}: server CPU of a REST JSON request ÷ nginx's static answer",
         cpu_ratio(result, "rest", "static"), 2, "≤", 1.5),
        (f"{at}: the same ÷ (nginx + bare `Run`)",
         cpu_ratio(result, "rest", "static", 1), 2, "≤", 1.5),
        (f"{at}: REST binary ÷ nginx", cpu_ratio(result, "rest-binary", "static"), 2, "≤", 1.5),
        (f"{at}: gRPC ÷ nginx over HTTP/2, same streams",
         cpu_ratio(result, "grpc", "static-http2"), 2, "≤", 2.0),
        (f"{at}: requests/s with turn batching ÷ without, REST",
         batching_ratio(result, "rest"), 2, "≥", 1.5),
        (f"{at}: requests/s with turn batching ÷ without, gRPC",
         batching_ratio(result, "grpc"), 2, "≥", 1.5),
        ("tabular, one connection: p50 of REST JSON minus nginx's, µs",
         per_round(result, lambda trials:
                   value(trials, "p50_us", "inferd", "tabular", "rest", 1)
                   - value(trials, "p50_us", "nginx", "tabular", "static", 1)), 0, "≤", 40),
    ]
    for workload, protocol, bound in (
            ("image", "rest", .80), ("image", "rest-binary", .95), ("image", "grpc", .95),
            ("text", "rest", .95), ("text", "rest-binary", .97), ("text", "grpc", .97)):
        rows.append((f"{workload}, {PROTOCOL_NAMES[protocol]}, 8 in flight: requests/s ÷ bare "
                     "`Run`'s", throughput_ratio(result, workload, protocol), 2, "≥", bound))
    for protocol, bound in (("rest", 15), ("grpc", 20)):
        ratio = peer_ratio(result, protocol)
        if ratio:
            rows.append((f"{at}, {PROTOCOL_NAMES[protocol]}: requests/s ÷ the quickest peer's",
                         ratio, 1, "≥", bound))
    if result["parameters"]["two_cores"]:
        rows.append(("image, REST binary: two cores ÷ one",
                     Figure(two["requests_per_second"] / one["requests_per_second"]
                            for one, two in result["two_cores"]), 2, "≥", 1.8))
    memory = result["memory"]
    rows += [
        ("start to ready with the demonstration model, ms",
         Figure(1000 * seconds for seconds in result["ready_seconds"]), 0, "≤", READY_MS_MAX),
        (f"resident memory after {memory['requests']:,} requests, MiB",
         Figure([memory["resident_bytes"] / 2 ** 20]), 1, "≤", RESIDENT_MIB_MAX),
    ]
    return rows


def summarise(result):
    """Adds `targets` to the result."""
    result["targets"] = [
        {"what": what, "measured": figure.text(digits), "figure": figure.as_json(),
         "target": f"{sign} {bound}",
         "pass": figure.median <= bound if sign == "≤" else figure.median >= bound}
        for what, figure, digits, sign, bound in target_rows(result)]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def targets_table(result):
    return table(("target", "measured", "to reach", "result"), [
        (row["what"], row["measured"], row["target"], "PASS" if row["pass"] else "FAIL")
        for row in result["targets"]])


def case_rows(rounds, workload, with_bare=True):
    """A row a case of one model: the rounds' trials, or a peer's."""
    seen = {}
    for trials in rounds:
        for trial in matching(trials, kind="load", workload=workload):
            key = (trial["server"], trial["protocol"], trial["in_flight"])
            seen.setdefault(key, []).append(
                (trial, bare_us(trials, workload) if with_bare else None))
    rows = []
    for (server, protocol, in_flight), found in seen.items():
        figure = {field: Figure(trial[field] for trial, _ in found) for field in (
            "requests_per_second", "cpu_us", "busy_percent", "p50_us")}
        p99 = [trial["p99_us"] for trial, _ in found if trial["p99_us"] is not None]
        ratio = (Figure(trial["requests_per_second"] * bare / 1e6 for trial, bare in found)
                 .text(2) if with_bare else "")
        rows.append((server, PROTOCOL_NAMES[protocol], str(in_flight),
                     figure["requests_per_second"].text(0), ratio, figure["cpu_us"].text(1),
                     f"{figure['busy_percent'].median:.0f} %", f"{figure['p50_us'].median:,.0f}",
                     f"{statistics.median(p99):,.0f}" if p99 else "too few samples"))
    return rows


HEAD = ("server", "protocol", "in flight", "requests/s", "÷ bare `Run`",
        "server CPU µs a request", "core used", "p50 µs", "p99 µs")


def model_sections(result):
    sections = []
    for name, title in result["models"].items():
        bare = per_round(result, lambda trials, name=name: bare_us(trials, name))
        sections += [f"## {title[0].upper()}{title[1:]}",
                     f"ONNX Runtime's bare `Run`, one thread: {bare.text(1)} µs.",
                     table(HEAD, case_rows(result["rounds"], name))]
    return sections


def peer_section(result):
    if not result["peers"]:
        return []
    rows = [row[:4] + row[5:] for peer, data in result["peers"].items()
            for name in result["models"] for row in
            [(f"{row[0]}: {name}", *row[1:]) for row in
             case_rows([data["trials"]], name, with_bare=False) if row[0] == peer]]
    starts = ", ".join(f"{peer} {data['ready_seconds']:.1f} s and "
                       f"{data['resident_bytes'] / 2 ** 20:.0f} MiB"
                       for peer, data in result["peers"].items())
    return ["## Peers", f"Start to ready, and resident memory after the load: {starts}.",
            table(HEAD[:4] + HEAD[5:], rows)]


def notes(result):
    """What a reader must know to judge the figures."""
    loads = [trial for trials in result["rounds"] for trial in matching(trials, kind="load")]
    others = Figure(trial["others_percent"] for trial in loads)
    stolen = Figure(trial["stolen_percent"] for trial in loads)
    lines = []
    if others.median > OTHERS_PERCENT_MAX:
        lines.append("**The machine was busy with other work: do not quote these figures.**")
    if not result["parameters"]["two_cores"]:
        lines.append("One core only: server and client share it, so requests per second say "
                     "little; CPU per request still holds.")
    bound = {trial["protocol"] for trial in loads if trial["client_bound"]}
    if bound:
        lines.append("The client's core was the bound in some loads of: "
                     + ", ".join(sorted(PROTOCOL_NAMES[one] for one in bound)) + ".")
    if result["log_lines_dropped"]:
        lines.append(f"inferd dropped {result['log_lines_dropped']:,} log lines because the log's "
                     "file was slow, which saved it their writing.")
    lines.append("Other work on the server's core (interrupts, other programs): "
                 f"{others.text(0)} % of the time; taken by the host: {stolen.text(0)} %.")
    return "\n".join(f"- {line}" for line in lines)


METHOD = """\
The servers run on core {server_core}, one at a time under load; the client, `inferd bench` with one
thread, runs on core {client_core}; all of them ahead of other programs where the system allows it
(`/proc/PID/autogroup`). Each of {rounds} rounds measures everything once for {seconds} s, every
second round in reverse order; a figure is the median over the rounds, with the least and the most in
brackets. CPU time is user plus system time of all threads of all processes of the server, from
`/proc/PID/stat`, over the requests that the client counted. The client is a closed loop: it sends
the next request when the answer of the one before has come. gRPC and HTTP/2 put 8 requests in flight
on 2 connections, 64 on 8.

- inferd has its defaults: metrics on, an access log line for each request, written to a file. Before
  the load its answers were compared with bare `Run`'s.
- nginx has one worker, keep-alive, an access log in its default format to a file, and answers the
  same POST with the bytes of inferd's answer from its configuration (`return 200`: a static file
  refuses POST; the request's body is read and thrown away).
- bare `Run` is ONNX Runtime's C API in a loop on core {server_core}: same model, same values, one
  thread, outputs made by ONNX Runtime; before and behind the loads of its model.
- A ratio is made in each round from that round's figures.
- Start to ready is from before fork and exec to the first 200 of `/v2/health/ready`, asked every
  millisecond, {starts} times, files in the page cache. Resident memory is VmRSS of a fresh server."""


def markdown(result):
    summarise(result)
    machine, versions = result["machine"], result["versions"]
    sections = [
        f"# Benchmark of {result['date']}, commit {result['commit']}"
        + (" with changes" if result["changed"] else ""),
        targets_table(result), notes(result), *model_sections(result), *peer_section(result),
        "## Machine",
        f"{machine['cpu']}, {machine['architecture']}, {machine['cores']} cores, "
        f"{machine['memory_gb']} GB, hypervisor: {machine['virtual']}; {machine['system']}, "
        f"kernel {machine['kernel']}.\n\n"
        + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "## How", METHOD.format(**result["parameters"]), "Commands:",
        "\n".join("    " + command for command in result["commands"]),
    ]
    return "\n\n".join(sections) + "\n"


def write(result, folder, name):
    """Writes NAME.md, NAME.json and NAME.svg; returns the Markdown."""
    text = markdown(result)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text)
    (folder / f"{name}.json").write_text(json.dumps(result, ensure_ascii=False) + "\n")
    (folder / f"{name}.svg").write_text(plot.svg(result))
    return text
