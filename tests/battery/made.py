"""Records that are made and deleted, one after the other, and which of them have to be there, or must not be, after a kill."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests.battery.aftermath import query
from webapp.sealed_values import SEALED_TABLES
from webapp.store import Store

PAUSE = 0.02
"""Seconds before the next one after an answer that told nothing."""

_KINDS = ("registry_credentials", "secrets")


@dataclass
class Made:
    """What was begun, and what was acknowledged, by name (which tells the table); the value of each is `of(name)`."""

    begun: set[str] = field(default_factory=set)
    there: set[str] = field(default_factory=set)
    """Acknowledged, and nobody has begun to delete it."""
    gone: set[str] = field(default_factory=set)
    """Acknowledged to be deleted."""
    acknowledged: int = 0
    """How often something was."""

    async def go_on(self, alice: httpx2.AsyncClient, is_refused: Callable[[int, float], bool] = lambda status, began: False) -> None:
        """Make one after the other, and delete every other one; an answer that `is_refused`, by its status and when it was asked for,
        tells nothing, and the next one's turn comes."""
        while True:
            number = len(self.begun)
            kind = _KINDS[number // 2 % 2]
            name = f"{'MADE_' if kind == 'secrets' else 'made-'}{number:06}"
            self.begun.add(name)
            path = "/" + kind.replace("_", "-")
            began = time.monotonic()
            answer = await alice.post(path, data=_form(kind, name))
            if is_refused(answer.status_code, began):
                await asyncio.sleep(PAUSE)
                continue
            assert answer.status_code == 303, answer.text
            self.there.add(name)
            self.acknowledged += 1
            if number % 2:
                continue
            began = time.monotonic()
            page = await alice.get(f"{path}?q={name}")
            if is_refused(page.status_code, began):
                continue
            found = re.search(rf'href="{path}/([0-9a-f]{{32}})">{name}</a>', page.text)
            assert found is not None, f"{name} is not listed"
            self.there.remove(name)
            began = time.monotonic()
            answer = await alice.post(f"{path}/{found[1]}/delete", data={"name": name, "confirm": name})
            if is_refused(answer.status_code, began):
                continue
            assert answer.status_code == 303, answer.text
            self.gone.add(name)
            self.acknowledged += 1

    def missing(self, folder: Path) -> list[str]:
        """A sentence for each one that has to be there and is not, or the other way round."""
        union = " UNION ALL ".join(f"SELECT name FROM {kind} WHERE name LIKE 'made%'" for kind in _KINDS)
        return self._missing({str(name) for (name,) in query(folder, union)})

    async def missing_in(self, store: Store) -> list[str]:
        """As `missing`, of a store that is open."""
        rows = [row for kind in _KINDS for row in await store.database.fetch_all(f"SELECT name FROM {kind}")]
        return self._missing({str(row["name"]) for row in rows})

    def _missing(self, found: set[str]) -> list[str]:
        lost = [f"{name} was made, and is lost" for name in sorted(self.there - found)]
        return lost + [f"{name} was deleted, and is there" for name in sorted(found & self.gone)]

    async def wrong(self, store: Store) -> list[str]:
        """A sentence for each one that is there with another value than its own, or that nobody made."""
        sentences = []
        for table in SEALED_TABLES:
            if table.table not in _KINDS:
                continue
            for row in await store.database.fetch_all(f"SELECT * FROM {table.table} WHERE lower(name) LIKE 'made%'"):
                name, value = row["name"], store.vault.open(row["sealed"], table.place(row)).reveal().decode()
                if name not in self.begun or value != of(name):
                    sentences.append(f"{name} has not the value that it was made with")
        return sentences


def of(name: str) -> str:
    """The value of the record with this name."""
    return f"the value of {name}"


def _form(kind: str, name: str) -> dict[str, str]:
    if kind == "secrets":
        return {"name": name, "value": of(name)}
    return {"name": name, "registry_url": "ghcr.io", "auth_method": "password", "username": "acme-bot", "password": of(name)}
