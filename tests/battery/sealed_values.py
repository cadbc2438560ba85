"""Whatever somebody who owns the database does to a sealed value, or to what it is sealed to: it opens no more, and is handed to nobody.

`python -m tests.battery.sealed_values --count 10000` is the long form; a short one is in the suite.
"""

import argparse
import random
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from tests.battery.furnished import (
    Agent,
    Credential,
    Furnished,
    add_credential,
    add_image,
    add_secret,
    enrol,
    furnished,
    replace_credential,
)
from tests.battery.kept_open import loop, parts_of
from tests.battery.minted import add_minted, tokens_of
from tests.battery.seal_changes import CHANGES, SIZE, TOUCHED, Change, Store, Value, kek_column
from tests.battery.tampering import Cell, cells, loosen, owner, put_back
from webapp import rotation
from webapp.actor import Actor
from webapp.credentials.credential import AuthMethod
from webapp.errors import NotFound
from webapp.provisioning.provision import NotHandedOver, Provision, provision
from webapp.provisioning.repository import ProvisionRepository
from webapp.sealed_values import SEALED_TABLES
from webapp.secrets.named_value import ValueFields
from webapp.vault import RootKey, SealBroken, Secret, Vault, new_keyring, open_keyring

T = TypeVar("T")
CREDENTIALS, SECRETS, IMPORTS, _, MINTED = SEALED_TABLES
EVERY = 500
"""Changes between two looks at what nobody touched."""


@dataclass
class Findings:
    """How many changes there were, by kind; how many hand-overs were refused; and sentences about what opened all the same."""

    changes: Counter[str] = field(default_factory=Counter)
    hand_overs: int = 0
    bits: int = 0
    wrong: list[str] = field(default_factory=list)


def run(count: int, seed: int, *, every_bit: bool = False) -> Findings:
    """Make so many changes, one at a time, the second half without keys and constraints; the first ones are all bits of a short value."""
    house, findings, chance = furnished(), Findings(), random.Random(seed)  # noqa: S311  not a secret
    try:
        values = _run(_furnish(house))
        with owner(house.opened) as connection:
            another = Vault(open_keyring(*_anothers_keyring(house)), house.store.vault.instance_id)
            store = Store(connection, values, sorted(house.store.vault.keks), another, chance)
            store.bits = list(range(SIZE * 8)) if every_bit else []
            findings.bits = len(store.bits)
            _see_that_all_open(house)
            before = _all_of(connection)
            while findings.changes.total() < count:
                if findings.changes.total() == count // 2 and "loosened" not in findings.changes:
                    for table in TOUCHED:
                        loosen(connection, table)
                    findings.changes["loosened"] = 0
                change = CHANGES[0] if store.bits else chance.choice(CHANGES)
                _change(house, store, change, before, findings)
                if findings.changes.total() % EVERY == 0:
                    _see_that_all_open(house)
            _see_that_all_open(house)
    finally:
        house.opened.end()
    return findings


def _change(house: Furnished, store: Store, change: Change, before: dict[str, list[tuple[Cell, ...]]], findings: Findings) -> None:
    connection = store.connection
    connection.execute("BEGIN IMMEDIATE")
    try:
        broken = change(store)
    except sqlite3.IntegrityError:
        connection.execute("ROLLBACK")
        return  # the table does not take it
    connection.execute("COMMIT")
    changed = [table for table, rows in before.items() if cells(connection, table, "rowid") != rows]
    if not changed:
        return
    name = change.__name__.replace("_", " ")
    findings.changes[name] += 1
    try:
        said = _problems(house, broken, harmless=change is kek_column, findings=findings)
    except Exception as error:
        said = [f"something fell over: {type(error).__name__}: {error}"]
    findings.wrong += [f"{name} of {', '.join(f'{value.table.noun} {value.id}' for value in broken)}: {sentence}" for sentence in said]
    for table in changed:
        put_back(connection, table, before[table])


def _problems(house: Furnished, broken: tuple[Value, ...], *, harmless: bool, findings: Findings) -> list[str]:
    """What is wrong with how the program takes it."""
    problems = []
    report = _run(house.store.check())
    for value in broken:
        if report.ok or not any(f"({value.id}) does not open" in line for line in report.lines):
            problems.append("`check` does not name it")
        if not harmless and _opens(house, value):
            problems.append("it opens")
        if value.table is IMPORTS and not harmless and _run(_is_imported(house, value)):
            problems.append("it is imported")
    for number in sorted({agent for value in broken for agent in value.agents}):
        agent = house.agents[number]
        handed = _run(_handed(house, agent))
        findings.hand_overs += 1
        if handed is not None and not (harmless and _is_right(handed, agent)):
            problems.append(f"the agent {number} is handed something")
    return problems


def _opens(house: Furnished, value: Value) -> bool:
    columns = ", ".join(("id", "account_id", "sealed", *value.table.columns))
    row = _run(house.store.database.fetch_one(f"SELECT {columns} FROM {value.table.table} WHERE id = :id", {"id": value.id}))
    assert row is not None
    try:
        house.store.vault.open(row["sealed"], value.table.place(row))
    except SealBroken:
        return False
    return True


async def _is_imported(house: Furnished, value: Value) -> bool:
    """Whether one of the two who began imports can go on with it."""
    for actor, repository in ((house.alice, house.store.secrets), (house.charlie, house.store.variables)):
        try:
            await house.store.imports.again(actor, repository, value.id)
        except NotFound:
            continue
        return True
    return False


async def _handed(house: Furnished, agent: Agent) -> Provision | None:
    """What the agent is handed by a server that has kept no row of before; None for a refusal with a reason."""
    store = house.store
    tokens = tokens_of(store)
    provisions = ProvisionRepository(store.database, store.vault, store.chain, store.clock, tokens)
    try:
        return await provision(agent.token, "192.0.2.9", None, replace(parts_of(store), provisions=provisions, tokens=tokens))
    except NotHandedOver:
        return None


def _is_right(handed: Provision, agent: Agent) -> bool:
    password = None if handed.auth is None else handed.auth.password.reveal().decode()
    user_data = None if handed.user_data is None else handed.user_data.reveal().decode()
    return (password, user_data) == (agent.password, agent.user_data)


def _see_that_all_open(house: Furnished) -> None:
    report = _run(house.store.check())
    assert report.ok, report.lines
    for agent in house.agents:
        handed = _run(_handed(house, agent))
        assert handed is not None
        assert _is_right(handed, agent)


async def _furnish(house: Furnished) -> list[Value]:
    """Credentials of one host and of several, of two methods and accounts, in several versions; secrets; imports; tokens; two KEKs."""
    alice, charlie, pause = house.alice, house.charlie, rotation.PAUSE
    credentials = [
        (alice, await add_credential(house, alice, "ghcr.io")),
        (alice, await add_credential(house, alice, "ghcr.io")),
        (alice, await add_credential(house, alice, "docker.io")),
        (alice, await add_credential(house, alice, "ghcr.io", AuthMethod.GCP_SERVICE_ACCOUNT_KEY)),
        (charlie, await add_credential(house, charlie, "ghcr.io")),
    ]
    secrets = [(actor, name, await add_secret(house, actor, name, "first")) for actor, name in
               ((alice, "TOKEN"), (alice, "DB"), (charlie, "TOKEN"))]  # fmt: skip
    older: dict[str, list[bytes]] = {}
    for turn in range(3):
        for number, (actor, credential) in enumerate(credentials):
            older.setdefault(credential.id, []).append(await _sealed(house, "registry_credentials", credential.id))
            credentials[number] = (actor, await replace_credential(house, actor, credential))
        for actor, name, key in secrets:
            older.setdefault(key, []).append(await _sealed(house, "secrets", key))
            fields = ValueFields(name, name.lower(), "")
            await house.store.secrets.save(actor, key, fields, Secret(f"{name} {turn} {actor.label}".encode()), None)
        if turn == 1:
            rotation.PAUSE = 0.0
            await rotation.rotate(house.store, alice, lambda done, total: None)
            rotation.PAUSE = pause
    found: list[Value] = []
    for actor, credential in credentials:
        agents = await _agent_for(house, actor, credential, len(found))
        found.append(Value(CREDENTIALS, credential.id, actor.account_id, agents, tuple(older[credential.id])))
    for actor, name, key in secrets:
        readers = [at for at, agent in enumerate(house.agents) if agent.account_id == actor.account_id and name in (agent.user_data or "")]
        found.append(Value(SECRETS, key, actor.account_id, tuple(readers), tuple(older[key])))
    for actor, repository in ((alice, house.store.secrets), (charlie, house.store.variables)):
        preview = await house.store.imports.begin(actor, repository, Secret(b"NEW=value-of-an-import\n"))
        found.append(Value(IMPORTS, preview.id, actor.account_id))
    for actor, name in ((alice, "ecr"), (alice, "other"), (charlie, "ecr")):
        key, agent = await add_minted(house, actor, name)
        found.append(Value(MINTED, key, actor.account_id, (agent,)))
    return found


async def _agent_for(house: Furnished, actor: Actor, credential: Credential, number: int) -> tuple[int, ...]:
    """An agent that is handed this credential; of the first two and the last one with a secret in its user data."""
    name = {0: "TOKEN", 1: "DB", 4: "TOKEN"}.get(number)
    template = None if name is None else f"{name}={{{{ secrets.{name} }}}}"
    image = await add_image(house, actor, credential, credential.fields.host, template)
    await enrol(house, actor, image, credential.value, None if name is None else f"{name}={name} 2 {actor.label}")
    return (len(house.agents) - 1,)


async def _sealed(house: Furnished, table: str, key: str) -> bytes:
    row = await house.store.database.fetch_one(f"SELECT sealed FROM {table} WHERE id = :id", {"id": key})
    assert row is not None
    return bytes(row["sealed"])


def _anothers_keyring(house: Furnished) -> tuple[list[dict[str, Any]], RootKey, str]:
    root, instance = RootKey(Secret(bytes(32)), "another installation"), house.store.vault.instance_id
    return new_keyring(root, instance, 0), root, instance


def _all_of(connection: sqlite3.Connection) -> dict[str, list[tuple[Cell, ...]]]:
    return {table: cells(connection, table, "rowid") for table in TOUCHED}


def _run(work: Coroutine[Any, Any, T]) -> T:
    return loop().run(work)


def main() -> int:
    """Run the long form; 1 when something opened that must not, or was not named."""
    parser = argparse.ArgumentParser(prog="python -m tests.battery.sealed_values", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    found = run(options.count, options.seed, every_bit=options.count >= 2 * SIZE * 8)
    kinds = ", ".join(f"{number:,} {name}" for name, number in sorted(found.changes.items()) if number)
    print(
        f"{found.changes.total():,} changes of sealed values (seed {options.seed}; {kinds}; each of {found.bits:,} bits of one value) and"
        f" {found.hand_overs:,} hand-overs: {len(found.wrong)} not refused or not named",
        *found.wrong[:20],
        sep="\n",
    )
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
