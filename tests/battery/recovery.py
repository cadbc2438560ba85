"""A store is opened again after its process has died, or has gone through a failed disk: is all there that was acknowledged."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.battery.aftermath import DATABASE, key_states, look_into, query, settings_of
from webapp.actor import Actor
from webapp.errors import ConfigurationError
from webapp.keyring_watch import KEYRING_SQL
from webapp.provisioning.activity import written_soon
from webapp.provisioning.answers import as_json
from webapp.provisioning.provision import Parts, provision
from webapp.rotation import rotate
from webapp.sealed_values import SEALED_TABLES
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import parse

_BEGAN = {"made": None, "ghcr": "value-0", "spare": "value-0", "kept": "value-1", "image": "before", "later": None}
_MAY_BE = {"made": "value-made", "ghcr": "value-1", "spare": None, "kept": "value-0", "image": "after", "later": "value-later"}
NOBODY = Actor("", "command_line", "0", "battery")
"""Who does what no member does."""


@dataclass
class Told:
    """What the process has said before it ended."""

    acknowledged: dict[str, str | None] = field(default_factory=dict)
    handed: list[str] = field(default_factory=list)
    exits: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def _read(lines: list[dict[str, Any]]) -> Told:
    told = Told()
    for line in lines:
        told.acknowledged |= {name: value or None for name, value in line.get("acknowledged", {}).items()}
        if "command" in line:
            told.exits[line["command"]] = line["exit"]
        if line.get("handed"):
            told.handed.append(line["handed"])
        if line.get("value") and line.get("status") != 200:
            told.wrong.append(f"an answer with the status {line['status']} has a secret in it")
    return told


async def recovered(folder: Path, ids: dict[str, str], lines: list[dict[str, Any]]) -> list[str]:
    """A sentence for each thing that must not be; `lines` is what the process has said. The store is rotated to its end here."""
    told = _read(lines)
    chosen, wrong = await _one_root_key(folder, told)
    if chosen is None:
        return wrong
    async with open_store(chosen) as store:
        wrong += await look_into(store, told.handed)
        if (folder / "ids").exists():
            wrong += await _has_all(store, told)
            wrong += await _hands_over(store, ids)
        await _rotated_to_its_end(store)
        wrong += await look_into(store, told.handed)
    if behind := query(folder, "SELECT count(*) FROM keyring WHERE state = 'retiring'")[0][0]:
        wrong.append(f"{behind} keys are not retired after a rotation that was gone on with")
    if not (folder / "data" / DATABASE).exists():
        wrong.append("there is no database")
    return told.wrong + wrong


async def _one_root_key(folder: Path, told: Told) -> tuple[Settings | None, list[str]]:
    """The settings that the keyring opens with: exactly one of the old root key and the new one, and the new one when that was said."""
    new = folder / "new" / "root.key"
    candidates = [settings_of(folder)] + ([settings_of(folder, WEBAPP_ROOT_KEY_FILE=str(new))] if new.exists() else [])
    opened = []
    for settings in candidates:
        try:
            async with open_store(settings):
                opened.append(settings)
        except ConfigurationError:
            continue
    if len(opened) != 1:
        return None, [f"the keyring opens with {len(opened)} of {len(candidates)} root keys"]
    is_new = opened[0].root_key_file == new
    if told.exits.get("rewrap-root") == 0 and not is_new:
        return None, ["the root key was changed, and the keyring opens with the old one"]
    return opened[0], []


async def _has_all(store: Store, told: Told) -> list[str]:
    found = await _values(store)
    wrong = []
    for name, began in _BEGAN.items():
        allowed = [told.acknowledged[name]] if name in told.acknowledged else [began, _MAY_BE[name]]
        if found[name] not in allowed:
            wrong.append(f"{name} is not what was acknowledged last")
    if "agent" in told.acknowledged and await store.database.fetch_one("SELECT id FROM agents WHERE name = 'rack2'") is None:
        wrong.append("an agent was enrolled, and is lost")
    return wrong


async def _values(store: Store) -> dict[str, str | None]:
    """What there is now, opened."""
    found: dict[str, str | None] = dict.fromkeys(_BEGAN)
    for table in (each for each in SEALED_TABLES if not each.passing):
        names = "'made', 'ghcr', 'spare', 'kept', 'later'"
        for row in await store.database.fetch_all(f"SELECT * FROM {table.table} WHERE lower(name) IN ({names})"):
            found[row["name"].lower()] = store.vault.open(row["sealed"], table.place(row)).reveal().decode()
    rows = await store.database.fetch_all("SELECT i.name FROM agents g JOIN images i ON i.id = g.image_id WHERE g.name = 'rack1'")
    found["image"] = rows[0]["name"] if rows else None
    return found


async def _hands_over(store: Store, ids: dict[str, str]) -> list[str]:
    """The agent is handed what is there."""
    token, values = parse(ids["token"], "a"), await _values(store)
    assert token is not None
    async with written_soon(store.database) as activity:
        stores = {"secrets": store.secrets, "variables": store.variables}
        parts = Parts(store.provisions, stores, activity, store.chain, store.vault, store.clock, store.sign_ins.tokens)  # type: ignore[arg-type]  # as in the app
        handed = orjson.loads(orjson.dumps(as_json(await provision(token, None, None, parts))))
    wrong = [] if handed["registry_auth"]["password"] == values["ghcr"] else ["the agent is handed another value"]
    return wrong + ([] if handed["image"]["name"] == values["image"] else ["the agent is handed another image"])


async def _rotated_to_its_end(store: Store) -> None:
    done = await rotate(store, NOBODY, lambda count, total: None)
    states = key_states(await store.database.fetch_all(KEYRING_SQL))
    assert not done.broken
    assert list(states.values()).count("active") == 1
    assert set(states.values()) <= {"active", "retired"}
    for table in SEALED_TABLES:
        rows = await store.database.fetch_all(f"SELECT id FROM {table.table} WHERE kek_id <> :key", {"key": done.key})
        assert not rows, "a row is left under an old key"
