"""One picture of a result: requests per second by server and protocol, a panel for each model.

Bars begin at zero; the dashed line is what one thread of ONNX Runtime's bare Run does.
"""
import html
import statistics

PANEL_IN_FLIGHT = {"tabular": 64}  # others: 8
NAMES = {"rest": "REST JSON", "rest-binary": "REST binary", "grpc": "gRPC",
         "static": "HTTP/1.1", "static-http2": "HTTP/2"}
COLOURS = {"inferd": "#1f6f8b", "nginx": "#9aa5ad"}
PEER_COLOUR = "#d98032"
WIDTH, LEFT, RIGHT, BAR, GAP, HEAD, FOOT = 900, 190, 90, 18, 8, 46, 34


def bars_of(result, workload):
    """(label, server, requests per second, of the bound) of a panel, in the order of the table."""
    in_flight = PANEL_IN_FLIGHT.get(workload, 8)
    found = {}
    peers = [peer["trials"] for peer in result["peers"].values()]
    for trials in [*result["rounds"], *peers]:
        for trial in trials:
            if (trial["kind"] == "load" and trial["workload"] == workload
                    and trial["in_flight"] == in_flight and trial["server"] != "inferd-unbatched"
                    and not (trials in peers and trial["server"] == "inferd")):
                found.setdefault((trial["server"], trial["protocol"]), []).append(
                    trial["requests_per_second"])
    return [(f"{server}, {NAMES[protocol]}", server, statistics.median(values))
            for (server, protocol), values in found.items()]


def bare_per_second(result, workload):
    return 1e6 / statistics.median(
        trial["wall_us"] for trials in result["rounds"] for trial in trials
        if trial["kind"] == "bare" and trial["workload"] == workload)


def text(x, y, words, **attributes):
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{html.escape(words)}</text>'


def panel(result, workload, title, top):
    """(SVG elements, height) of one model."""
    bars = bars_of(result, workload)
    bare = bare_per_second(result, workload)
    quickest = max(speed for _, _, speed in bars)
    # Bare Run beyond twice the quickest bar would flatten them all: then it is only named.
    shown = bare < 2 * quickest
    scale = (WIDTH - LEFT - RIGHT) / max(quickest, bare if shown else 0)
    in_flight = PANEL_IN_FLIGHT.get(workload, 8)
    parts = [text(12, top + 20, f"{title}: requests/s, {in_flight} in flight", font_weight="bold"),
             text(12, top + 37, f"bare Run, one thread: {bare:,.0f}/s", fill="#555")]
    y = top + HEAD
    for label, server, speed in bars:
        colour = COLOURS.get(server, PEER_COLOUR)
        parts += [text(LEFT - 8, y + 13, label, text_anchor="end"),
                  f'<rect x="{LEFT}" y="{y}" width="{max(speed * scale, 1):.1f}" height="{BAR}" '
                  f'fill="{colour}"/>',
                  text(LEFT + speed * scale + 6, y + 13, f"{speed:,.0f}")]
        y += BAR + GAP
    if shown:
        x = LEFT + bare * scale
        parts.append(f'<line x1="{x:.1f}" y1="{top + HEAD - 4}" x2="{x:.1f}" y2="{y}" '
                     'stroke="#333" stroke-dasharray="5 4"/>')
    return parts, y - top + 14


def svg(result):
    parts, top = [], 8
    for workload, title in result["models"].items():
        more, height = panel(result, workload, title, top)
        parts += more
        top += height
    said = (f"{result['date']}, commit {result['commit']}, {result['machine']['cpu']}; server on "
            "one core, client on another; dashed: bare Run")
    parts.append(text(12, top + 16, said, fill="#555"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + FOOT}" '
            f'viewBox="0 0 {WIDTH} {top + FOOT}" font-family="sans-serif" font-size="13">\n'
            f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")
