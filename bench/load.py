"""Load, by wrk (Debian's package): closed loop, one thread, a fixed number of connections, each request with a header of its own."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parent / "requests.lua"


@dataclass(frozen=True)
class Measured:
    """What one run of wrk said. Latencies are milliseconds."""

    rate: float
    p50: float
    p99: float
    errors: int
    requests: int


def wrk(
    url: str,
    values: Path,
    *,
    connections: int = 64,
    seconds: int = 5,
    header: str = "Authorization",
    before: str = "Bearer ",
) -> Measured:
    """Ask for `url` with the lines of `values`, over and over for so many seconds."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(SCRIPT), url]
    arguments = ["--", str(values), "1", header, before]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=seconds + 60)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    said = json.loads(line.removeprefix("RESULT "))
    return Measured(said["requests"] / said["seconds"], said["p50"] / 1000, said["p99"] / 1000, said["errors"], said["requests"])
