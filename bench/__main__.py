"""`make bench`: every system in turn, round after round, in one run, so that what the machine does meanwhile happens to all of them.

python -m bench [--rounds 5] [--seconds 5] [--agents 10000] [--million 1000000]
"""

import argparse
import random
import shutil
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bench.furnish import furnish
from bench.load import Measured, wrk
from bench.pages import pages
from bench.report import Facts, write
from bench.servers import openbao, ours, uvicorn_app
from tests.real.postgresql import postgresql_cluster
from webapp.settings import Settings

PATH = "/api/v1/provision"
STAMPEDE_SECONDS = 1
"""As long as there are agents that have not asked yet, with room to spare."""
MANY, WITH_MANY = 256, ("bare", "postgresql1", "postgresql4")
"""Connections with which several processes have as much to do each as one has with 64, and whom that is asked of."""

Results = dict[str, list[Measured]]


class Asked(NamedTuple):
    """What a system is asked: the address, the file with a token a line, and the header that it goes into."""

    url: str
    values: Path
    header: str = "Authorization"
    before: str = "Bearer "


def main() -> None:
    """Measure, and write `bench/results/`."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    for name, default in (("rounds", 5), ("seconds", 5), ("agents", 10_000), ("million", 1_000_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        results = _side_by_side(folder, options)
        results |= _stampede(folder, options)
        facts = None
        if options.million:
            grown, facts = _as_it_grows(folder, options)
            results |= grown
    write(results, options.rounds, facts)


def _store(folder: Path, name: str, agents: int, **more: str) -> tuple[dict[str, str], Path]:
    """A furnished store: its settings, and the file with the agents' tokens."""
    environ = {"WEBAPP_DATA_DIR": str(folder / name), **more}
    print(f"furnishing {name}: {agents:,} agents, images and credentials", flush=True)
    furnish(Settings.from_environ(environ), agents, folder / f"{name}.tokens")
    return environ, folder / f"{name}.tokens"


def _side_by_side(folder: Path, options: argparse.Namespace) -> Results:
    results: Results = defaultdict(list)
    environ, tokens = _store(folder, "fleet", options.agents)
    naive_environ, naive_tokens = _store(folder, "naive", 1_000)
    with ExitStack() as stack:
        addresses = {
            "ours": stack.enter_context(ours(environ, folder)).url,
            "bare": stack.enter_context(uvicorn_app("bare_app", {}, folder)).url,
            "naive": stack.enter_context(uvicorn_app("naive_app", naive_environ, folder)).url,
        }
        cluster = stack.enter_context(postgresql_cluster(on_disk=True))
        shared, shared_tokens = _store(folder, "shared", options.agents, WEBAPP_DATABASE_URL=cluster.url(cluster.new_database()))
        for processes in (1, 4):
            (folder / f"processes{processes}").mkdir()
            running = ours({**shared, "WEBAPP_PROCESSES": str(processes)}, folder / f"processes{processes}")
            addresses[f"postgresql{processes}"] = stack.enter_context(running).url
        bao, token = stack.enter_context(openbao(folder / "openbao"))
        (folder / "bao.token").write_text(token + "\n")
        values = {"naive": naive_tokens, "postgresql1": shared_tokens, "postgresql4": shared_tokens}
        systems = {name: Asked(url + PATH, values.get(name, tokens)) for name, url in addresses.items()}
        systems["openbao"] = Asked(bao.url + "/v1/secret/data/one", folder / "bao.token", "X-Vault-Token", "")
        for asked in systems.values():  # each warm, and each agent's first use written down
            _ask(asked, 64, 3)
        for connections, number in product((64, 32, MANY), range(options.rounds)):
            for name, asked in systems.items():
                if connections == MANY and name not in WITH_MANY:
                    continue
                found = _ask(asked, connections, options.seconds)
                results[f"{name} {connections}"].append(found)
                print(f"{connections} connections, round {number + 1}: {name:11} {found.rate:9,.0f}/s  p99 {found.p99:8.1f} ms", flush=True)
    return results


def _ask(asked: Asked, connections: int, seconds: int) -> Measured:
    return wrk(asked.url, asked.values, connections=connections, seconds=seconds, header=asked.header, before=asked.before)


def _stampede(folder: Path, options: argparse.Namespace) -> Results:
    """A rack that comes back: each agent once, at once, after a start of the server and with nothing of the database in memory."""
    results: Results = defaultdict(list)
    for number in range(options.rounds):
        environ, tokens = _store(folder, f"stampede{number}", options.agents)
        with ours(environ, folder) as server, uvicorn_app("bare_app", {}, folder) as bare:
            for name, url in (("bare", bare.url), ("ours", server.url)):
                _drop_caches()
                results[f"{name} stampede"].append(wrk(url + PATH, tokens, connections=512, seconds=STAMPEDE_SECONDS))
        shutil.rmtree(folder / f"stampede{number}")
    return results


def _as_it_grows(folder: Path, options: argparse.Namespace) -> tuple[Results, Facts]:
    results: Results = defaultdict(list)
    few_environ, few_tokens = _store(folder, "few", 1_000)
    many_environ, many_tokens = _store(folder, "many", options.million)
    lines = many_tokens.read_text().splitlines()
    chosen = random.Random(1).sample(lines, min(len(lines), 10_000 + options.rounds * 12_000 * options.seconds))  # noqa: S311  a fair choice
    hot, cold = folder / "hot.tokens", folder / "cold.tokens"
    hot.write_text("\n".join(chosen[:10_000]) + "\n")
    _read_whole(folder / "many")  # what a disk costs is the stampede's row; this one is about size
    (folder / "second").mkdir()
    with ours(few_environ, folder) as few, ours(many_environ, folder / "second") as many:
        wrk(few.url + PATH, few_tokens, seconds=3)
        wrk(many.url + PATH, hot, seconds=5)
        for number in range(options.rounds):
            part = chosen[10_000:][number :: options.rounds]
            cold.write_text("\n".join(part) + "\n")
            results["few hot"].append(wrk(few.url + PATH, few_tokens, seconds=options.seconds))
            results["many hot"].append(wrk(many.url + PATH, hot, seconds=options.seconds))
            results["many once"].append(wrk(many.url + PATH, cold, seconds=options.seconds))
        facts = Facts(many.started_in, many.private_mib, pages(many.url, options.million))
    return results, facts


def _read_whole(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass


def _drop_caches() -> None:
    """Have the system forget what it has read, where it lets us."""
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        print("the system's page cache could not be dropped: the stampede is a warm one", flush=True)


if __name__ == "__main__":
    main()
