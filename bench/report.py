"""What was measured, as a table, as JSON and as a chart."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import log10
from pathlib import Path
from statistics import median

from bench.load import Measured
from bench.pages import Timed

FOLDER = Path(__file__).parent / "results"

NOTES = """\
What each one does for a request: *ours* checks the token's MAC, makes sure that the sealed rows that it keeps are the latest or reads them
in one join, writes and syncs an audit row with its MAC, opens the credential, and logs a line; all security headers are on. *postgresql1*
and *postgresql4* are the same program with one process and with four, on PostgreSQL on the same machine and disk. *Bare* is a
Starlette route that answers the same document and does nothing else. *OpenBao* is OpenBao 2 with raft and a file audit device (which it
writes and does not sync), on all cores, reading one KV v2 secret with one token. *Naive* is `databases` as its README shows, on the same
store. All ran on one machine with two cores that they shared with the client (wrk, one thread), in turn; medians of the rounds. Before the
rows with *many* records the database was read once, so that it was in the system's memory; before the stampede nothing of it was.
"""


@dataclass(frozen=True)
class Facts:
    """Of the server with the many rows: seconds to its first answer, private memory at the end, and its pages' times by what they show."""

    started_in: float
    private_mib: float
    pages: Mapping[str, Timed]


def ratios(results: Mapping[str, Sequence[Measured]]) -> dict[str, float]:
    """The figures that count: ours against each of the others. Throughput by throughput, latency by latency."""

    def rate(name: str) -> float:
        return median(measured.rate for measured in results[name])

    def p99(name: str) -> float:
        return median(measured.p99 for measured in results[name])

    found = {
        "bare_starlette": rate("ours 64") / rate("bare 64"),
        "openbao_throughput": rate("ours 64") / rate("openbao 64"),
        "openbao_p99": p99("ours 64") / p99("openbao 64"),
        "naive": rate("ours 64") / rate("naive 64"),
        "postgresql_bare_starlette": rate("postgresql1 64") / rate("bare 64"),
        "postgresql_openbao_throughput": rate("postgresql1 64") / rate("openbao 64"),
        "postgresql_openbao_p99": p99("postgresql1 64") / p99("openbao 64"),
        "postgresql_4_processes": rate("postgresql4 64") / rate("postgresql1 64"),
        "postgresql_4_processes_many": rate("postgresql4 256") / rate("postgresql1 256"),
        "postgresql_4_processes_openbao": rate("postgresql4 64") / rate("openbao 64"),
        "stampede": rate("ours stampede") / rate("bare stampede"),
    }
    if "many hot" in results:
        found["million_rows"] = rate("many hot") / rate("few hot")
        found["million_rows_p99"] = p99("many once") / p99("few hot")
    return {name: round(value, 3) for name, value in found.items()}


def write(results: Mapping[str, Sequence[Measured]], rounds: int, facts: Facts | None) -> None:
    """Write `results/<date>.md`, `results/latest.json` and `results/latest.svg`."""
    FOLDER.mkdir(exist_ok=True)
    today = datetime.now(UTC).date().isoformat()
    found = ratios(results)
    document: dict[str, object] = {"rounds": rounds, "ratios": found}
    if facts is not None:
        document |= {
            "start_seconds": round(facts.started_in, 2),
            "private_mib": round(facts.private_mib),
            "pages_p95_ms": {what: round(timed.p95, 1) for what, timed in facts.pages.items()},
        }
    (FOLDER / "latest.json").write_text(json.dumps(document, indent=2) + "\n")
    (FOLDER / "latest.svg").write_text(_chart(results))
    (FOLDER / f"{today}.md").write_text(_table(results, found, rounds, today) + _facts(facts))
    print(json.dumps(found, indent=2))


def _table(results: Mapping[str, Sequence[Measured]], found: Mapping[str, float], rounds: int, today: str) -> str:
    lines = [
        f"# {today}, medians of {rounds} rounds",
        "",
        "| run | requests a second | p50 ms | p99 ms | errors |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, measured in results.items():
        middle = [median(getattr(one, field) for one in measured) for field in ("rate", "p50", "p99")]
        lines.append(f"| {name} | {middle[0]:,.0f} | {middle[1]:.2f} | {middle[2]:.1f} | {sum(one.errors for one in measured)} |")
    lines += ["", "| ratio | ours to the other |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in found.items()), "", NOTES]
    return "\n".join(lines)


def _facts(facts: Facts | None) -> str:
    if facts is None:
        return ""
    lines = [
        "",
        f"With the many rows: first answer {facts.started_in:.2f} s after the process's start, private memory {facts.private_mib:.0f} MiB.",
        "",
        "| page, with the many rows | p50 ms | p95 ms | most ms |",
        "| --- | --- | --- | --- |",
        *(f"| {what} | {timed.p50:.1f} | {timed.p95:.1f} | {timed.most:.1f} |" for what, timed in facts.pages.items()),
    ]
    return "\n".join(lines) + "\n"


def _chart(results: Mapping[str, Sequence[Measured]]) -> str:
    """Throughput against latency, at 32 and 64 connections: a line for each system. Both axes are logarithmic."""
    width, height, edge = 640, 360, 56
    points = {
        name: [
            (median(one.rate for one in results[f"{name} {connections}"]), median(one.p99 for one in results[f"{name} {connections}"]))
            for connections in (32, 64)
        ]
        for name in ("bare", "ours", "postgresql1", "openbao", "naive")
    }
    rates, waits = zip(*(point for line in points.values() for point in line), strict=True)
    low, high = log10(min(rates)) - 0.2, log10(max(rates)) + 0.2
    bottom, top = log10(min(waits)) - 0.2, log10(max(waits)) + 0.2

    def at(rate: float, wait: float) -> tuple[float, float]:
        x = edge + (log10(rate) - low) / (high - low) * (width - 2 * edge)
        return x, height - edge - (log10(wait) - bottom) / (top - bottom) * (height - 2 * edge)

    colours = {"bare": "#77837c", "ours": "#155f4b", "postgresql1": "#336791", "openbao": "#825600", "naive": "#a3231a"}
    labels = {
        "bare": "bare Starlette",
        "ours": "registry-credentials",
        "postgresql1": "on PostgreSQL",
        "openbao": "OpenBao",
        "naive": "databases, as its README shows",
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        "<title>Throughput against latency of five systems</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<path d="M{edge} {edge / 2}V{height - edge}H{width - edge / 2}" fill="none" stroke="#14201b"/>',
        f'<text x="{width - edge / 2}" y="{height - edge + 34}" text-anchor="end">requests a second (log)</text>',
        f'<text x="8" y="{edge / 2 - 8}">p99 in ms (log)</text>',
    ]
    for value in (100, 1_000, 10_000):
        if low < log10(value) < high:
            x, _ = at(value, 10**bottom)
            parts.append(f'<text x="{x:.0f}" y="{height - edge + 16}" text-anchor="middle">{value:,}</text>')
    for value in (1, 10, 100, 1_000):
        if bottom < log10(value) < top:
            _, y = at(10**low, value)
            parts.append(f'<text x="{edge - 6}" y="{y + 4:.0f}" text-anchor="end">{value:,}</text>')
    for name, line in points.items():
        (x1, y1), (x2, y2) = at(*line[0]), at(*line[1])
        parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colours[name]}" stroke-width="3" fill="none"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colours[name]}"/>' for x, y in ((x1, y1), (x2, y2))]
        anchor = "end" if x2 > width / 2 else "start"
        parts.append(f'<text x="{x2:.0f}" y="{min(y1, y2) - 12:.0f}" text-anchor="{anchor}" fill="{colours[name]}">{labels[name]}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
