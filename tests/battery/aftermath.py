"""What has to hold of a store however the process that had it open has ended."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from webapp.audit.verification import verify
from webapp.database import Row
from webapp.provisioning.provision_id import place_of
from webapp.sealed_values import SEALED_TABLES
from webapp.settings import Settings
from webapp.store import Store, open_store

DATABASE = "registry-credentials.sqlite3"

_SHM = Path("/dev/shm")  # noqa: S108  a directory of one's own is made in it
MEMORY = _SHM if _SHM.is_dir() else None
"""Where a store is quick: what a process has written outlives it there, too, and no power fails here."""

RELEASES = ("registry_credential.release", "image.hand_over")
"""What the audit log calls a hand-over."""


def settings_of(folder: Path, **environ: str) -> Settings:
    """The settings of the store in this folder, as `e2e.server.serve` makes it."""
    return Settings.from_environ({"WEBAPP_DATA_DIR": str(folder / "data"), **environ})


async def look(folder: Path, handed: Iterable[str], **environ: str) -> list[str]:
    """Open the store of a process that has ended: a sentence for each thing that must not be. `handed` are provision ids that left."""
    settings = settings_of(folder, **environ)
    async with open_store(settings) as store:
        found = await look_into(store, handed)
    with closing(sqlite3.connect(settings.data_dir / DATABASE)) as connection:
        found += [f"integrity_check: {line}" for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
    return found


async def look_into(store: Store, handed: Iterable[str]) -> list[str]:
    """As `look`, of a store that is open: the chain is whole, every value opens, and every hand-over has its row."""
    verified = await verify(store.database, store.vault, lambda done, total: None)
    checked = await store.check()
    found = [*verified.problems] + ([] if checked.ok else list(checked.lines))
    places: dict[tuple[int, int], list[str]] = {}  # two that stand in two chains may have the same time and number
    for provision_id in handed:
        place = place_of(provision_id)
        places.setdefault((place.at, place.number), []).append(provision_id)
    for row in await store.database.fetch_all(
        f"SELECT at, seq FROM audit_log WHERE decision = 'allowed' AND action IN {RELEASES}"  # constants of this file
    ):
        if ids := places.get((row["at"], row["seq"])):
            ids.pop()
    return found + [f"the hand-over {provision_id} left, and has no row" for ids in places.values() for provision_id in ids]


def left_behind(folder: Path) -> int:
    """How many rows are under a key that is retired."""
    counts = [f"(SELECT count(*) FROM {table.table} WHERE kek_id IN retired)" for table in SEALED_TABLES]
    sql = f"WITH retired AS (SELECT id FROM keyring WHERE purpose = 'kek' AND state = 'retired') SELECT {' + '.join(counts)}"
    return int(str(query(folder, sql)[0][0]))


def query(folder: Path, sql: str) -> list[tuple[int | str | None, ...]]:
    """Read from a store that a server has open, and change nothing of it: not even its log is shortened."""
    with closing(sqlite3.connect(f"file:{folder / 'data' / DATABASE}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def key_states(rows: Iterable[Row]) -> dict[int, str]:
    """The state of each KEK of a keyring."""
    return {int(row["id"]): str(row["state"]) for row in rows if row["purpose"] == "kek"}
