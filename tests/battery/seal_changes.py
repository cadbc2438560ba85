"""What somebody who owns the database may do to sealed values, and to what they are sealed to."""

import os
import random
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from webapp.sealed_values import SEALED_TABLES, SealedTable
from webapp.vault import Secret, Vault

KEK_AT, SIZE = 4, 352
"""Where the id of the key is in a sealed value, and how long a short one is."""


@dataclass(frozen=True)
class Value:
    """A row with a sealed value: who can be handed it (the places in the list of agents), and its earlier sealed forms."""

    table: SealedTable
    id: str
    account_id: str
    agents: tuple[int, ...] = ()
    older: tuple[bytes, ...] = ()


@dataclass
class Store:
    """What can be changed. `another` is another installation's vault, which says that it is this one."""

    connection: sqlite3.Connection
    values: Sequence[Value]
    keks: Sequence[int]
    another: Vault
    chance: random.Random
    bits: list[int] = field(default_factory=list)
    """Of the first value: those that are still to be flipped before any at random."""

    def blob(self, value: Value) -> bytes:
        """The sealed form as it is stored."""
        row = self.connection.execute(f"SELECT sealed FROM {value.table.table} WHERE id = ?", (value.id,)).fetchone()
        return bytes(row[0])

    def put(self, value: Value, **columns: object) -> None:
        """Write these columns of the value's row."""
        sets = ", ".join(f"{column} = ?" for column in columns)
        self.connection.execute(f"UPDATE {value.table.table} SET {sets} WHERE id = ?", (*columns.values(), value.id))

    def pick(self) -> Value:
        """Any value."""
        return self.chance.choice(self.values)

    def other(self, value: Value) -> Value:
        """Any other value."""
        return self.chance.choice([other for other in self.values if other.id != value.id])


Change = Callable[[Store], tuple[Value, ...]]
"""Does it; returns the values that must not open any more, with the ids that they have then."""


def flip(store: Store) -> tuple[Value, ...]:
    """One bit."""
    value = store.values[0] if store.bits else store.pick()
    changed = bytearray(store.blob(value))
    bit = store.bits.pop() if store.bits else store.chance.randrange(len(changed) * 8)
    changed[bit // 8] ^= 1 << bit % 8
    store.put(value, sealed=bytes(changed))
    return (value,)


def swap(store: Store) -> tuple[Value, ...]:
    """Two sealed values in each other's places: of other rows, tables, accounts, hosts or methods."""
    one = store.pick()
    other = store.other(one)
    first, second = store.blob(one), store.blob(other)
    store.put(one, sealed=second)
    store.put(other, sealed=first)
    return one, other


def copy(store: Store) -> tuple[Value, ...]:
    """One sealed value in the place of another, too."""
    value = store.pick()
    store.put(value, sealed=store.blob(store.other(value)))
    return (value,)


def splice(store: Store) -> tuple[Value, ...]:
    """The head of one, with the wrapped key, and what another one holds."""
    value = store.pick()
    mine, others, at = store.blob(value), store.blob(store.other(value)), store.chance.choice([8, 20, 68, 80])
    store.put(value, sealed=store.chance.choice([mine[:at] + others[at:], others[:at] + mine[at:]]))
    return (value,)


def older(store: Store) -> tuple[Value, ...]:
    """An older version of the same record, under the number of the newer one, or under any other but its own."""
    value = store.chance.choice([value for value in store.values if value.older])
    at = store.chance.randrange(len(value.older))
    numbers = [number for number in range(1, len(value.older) + 3) if number != at + 1]
    store.put(value, sealed=value.older[at])
    if store.chance.random() < 0.5:
        store.put(value, secret_version=store.chance.choice(numbers))
    return (value,)


def version(store: Store) -> tuple[Value, ...]:
    """Another number of the version."""
    value = store.chance.choice([value for value in store.values if "secret_version" in value.table.columns])
    number = store.connection.execute(f"SELECT secret_version FROM {value.table.table} WHERE id = ?", (value.id,)).fetchone()[0]
    numbers = [number + 1, number - 1, -number, 0, number + 0.5, number + 2**32, 2**62]
    store.put(value, secret_version=store.chance.choice([*numbers, f"{number}x", b"%d" % number]))
    return (value,)


def bound(store: Store) -> tuple[Value, ...]:
    """Another host, method, session or kind: what the value was sealed to besides its row."""
    value = store.chance.choice([value for value in store.values if value.table.table != "secrets"])
    hosts = ["evil.example", "GHCR.IO", "ghcr.io:443", "ghcr.io ", "", b"ghcr.io", "docker.io", "ghcr.io\0"]
    choices: dict[str, Sequence[object]] = {"session": ["", "another", b""], "kind": ["secret", "variable", "secrets"]}
    if "host" in value.table.columns:
        choices = {"host": hosts, "auth_method": ["password", "gcp_service_account_key", "PASSWORD", b"password"]}
    column = store.chance.choice(list(choices))
    before = store.connection.execute(f"SELECT typeof({column}), {column} FROM {value.table.table} WHERE id = ?", (value.id,)).fetchone()
    new = [choice for choice in choices[column] if (b"blob" if isinstance(choice, bytes) else b"text", _bytes(choice)) != before]
    store.put(value, **{column: store.chance.choice(new)})
    return (value,)


def prolong(store: Store) -> tuple[Value, ...]:
    """A token that was minted, with other times: a later end, or so short a life that it is good until its end."""
    value = store.chance.choice([value for value in store.values if "expires_at" in value.table.columns])
    column = store.chance.choice(["minted_at", "expires_at"])
    now = store.connection.execute(f"SELECT {column} FROM {value.table.table} WHERE id = ?", (value.id,)).fetchone()[0]
    store.put(value, **{column: store.chance.choice([now + 1, now - 1, now + 10**9, now + 0.5, -now, 0, 2**62, f"{now}x", b"%d" % now])})
    return (value,)


def point_elsewhere(store: Store) -> tuple[Value, ...]:
    """The credential and the images that use it at a host of one's own: what it is all about."""
    value = store.chance.choice([value for value in store.values if value.table.table == "registry_credentials"])
    host = store.chance.choice(["evil.example", "evil.example:5000", "ghcr.io.evil.example"])
    store.put(value, host=host)
    reference = f"{host}/acme/ubuntu:24.04"
    store.connection.execute("UPDATE images SET host = ?, reference = ? WHERE registry_credential_id = ?", (host, reference, value.id))
    return (value,)


def move(store: Store) -> tuple[Value, ...]:
    """The row in another account; of a credential the images that use it, too, and they are chosen for the agents there."""
    value = store.pick()
    there = store.chance.choice([other for other in store.values if other.account_id != value.account_id])
    store.put(value, account_id=there.account_id)
    if value.table.table != "registry_credentials":
        return (value,)
    store.connection.execute("UPDATE images SET account_id = ? WHERE registry_credential_id = ?", (there.account_id, value.id))
    image = "(SELECT id FROM images WHERE registry_credential_id = ? LIMIT 1)"
    store.connection.execute(f"UPDATE agents SET image_id = {image} WHERE account_id = ?", (value.id, there.account_id))
    agents = [agent for other in store.values if other.account_id == there.account_id for agent in other.agents]
    return (Value(value.table, value.id, there.account_id, (*value.agents, *agents)),)


def rename(store: Store) -> tuple[Value, ...]:
    """The row under another id, and what refers to it as well."""
    value, new = store.pick(), store.chance.choice([os.urandom(16).hex(), "", "x", "é"])
    store.put(value, id=new)
    store.connection.execute("UPDATE images SET registry_credential_id = ? WHERE registry_credential_id = ?", (new, value.id))
    return (Value(value.table, new, value.account_id, value.agents),)


def change_ids(store: Store) -> tuple[Value, ...]:
    """Two rows of a table with each other's ids, and all that refers to them left as it is."""
    one = store.chance.choice([value for value in store.values if not value.table.passing])
    other = store.chance.choice([value for value in store.values if value.table is one.table and value.id != one.id])
    for old, new in ((one.id, "-"), (other.id, one.id), ("-", other.id)):
        store.connection.execute(f"UPDATE {one.table.table} SET id = ? WHERE id = ?", (new, old))
    return one, other


def kek(store: Store) -> tuple[Value, ...]:
    """Another key's id in the sealed value, and in the column beside it or not."""
    value = store.pick()
    sealed = store.blob(value)
    mine = int.from_bytes(sealed[KEK_AT : KEK_AT + 4])
    new = store.chance.choice([number for number in (*store.keks, 0, 2, 3, 4, 999, 2**32 - 1) if number != mine])
    store.put(value, sealed=sealed[:KEK_AT] + new.to_bytes(4) + sealed[KEK_AT + 4 :])
    if store.chance.random() < 0.5:
        store.put(value, kek_id=new)
    return (value,)


def kek_column(store: Store) -> tuple[Value, ...]:
    """Another key's id in the column alone: nothing that is handed over is made of it, and a rotation would not see the row."""
    value = store.pick()
    now = store.connection.execute(f"SELECT kek_id FROM {value.table.table} WHERE id = ?", (value.id,)).fetchone()[0]
    store.put(value, kek_id=store.chance.choice([new for new in (*store.keks, 999, 1.5, "x") if new != now]))
    return (value,)


def other_size(store: Store) -> tuple[Value, ...]:
    """Less of it, more of it, or something else altogether."""
    value = store.pick()
    sealed = store.blob(value)
    cut = store.chance.randrange(len(sealed))
    more = os.urandom(store.chance.choice([1, 16, 256]))
    anything: list[object] = [
        sealed[:cut], sealed[cut + 1 :], sealed + more, more + sealed, sealed[:80] + sealed[80:336] + sealed[80:], sealed * 2, b"", 0, 1.5,
        "", sealed.hex(), os.urandom(len(sealed)), bytes(len(sealed)), sealed[:8] + os.urandom(len(sealed) - 8), sealed[::-1], 10**12,
    ]  # fmt: skip
    store.put(value, sealed=store.chance.choice(anything))
    return (value,)


def anothers(store: Store) -> tuple[Value, ...]:
    """A value that another installation has sealed to the very same place."""
    value = store.pick()
    columns = ("id", "account_id", *value.table.columns)
    found = store.connection.execute(f"SELECT {', '.join(columns)} FROM {value.table.table} WHERE id = ?", (value.id,)).fetchone()
    row = {column: cell.decode() if isinstance(cell, bytes) else cell for column, cell in zip(columns, found, strict=True)}
    store.put(value, sealed=store.another.seal(Secret(b"forged"), value.table.place(row)).blob)
    return (value,)


def _bytes(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


_OFTEN = (flip, flip, flip, flip, swap, swap, older, older)
CHANGES: Sequence[Change] = (
    *_OFTEN, copy, splice, version, bound, prolong, point_elsewhere, move, rename, change_ids, kek, kek_column, other_size, anothers,
)  # fmt: skip

TOUCHED: Mapping[str, str] = {
    **{table.table: "rowid" for table in SEALED_TABLES},
    **dict.fromkeys(("images", "agents", "image_secrets"), "rowid"),
}
"""The tables that a change may touch, and what their rows are told apart by."""
