"""What somebody who owns the database may do to the rows of the audit log."""

import random
import sqlite3
from collections.abc import Callable, Mapping

from tests.battery.tampering import columns_of
from webapp.audit.verification import PAGE

Edit = Callable[[sqlite3.Connection, random.Random], None]
"""Changes the table."""


def _seq(connection: sqlite3.Connection, chance: random.Random) -> int:
    """The number of a row; often one at the edge of what is looked at in one go."""
    last = int(connection.execute("SELECT max(seq) FROM audit_log").fetchone()[0])
    near = [seq for page in (PAGE, 2 * PAGE) for seq in (page - 1, page, page + 1) if seq <= last]
    return chance.choice(near) if near and chance.random() < 0.3 else chance.randint(1, last)


def _column(connection: sqlite3.Connection, chance: random.Random) -> str:
    return chance.choice(columns_of(connection, "audit_log"))


def change(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Another value in a column: near it, of another type, or of no type at all."""
    column, seq = _column(connection, chance), _seq(connection, chance)
    new = chance.choice(
        [
            f"{column} || 'x'", f"{column} + 1", "NULL", "''", "0", "-1", "1.5", "9e999", "x''", "zeroblob(32)", "randomblob(32)",
            f"CAST({column} AS BLOB)", f"CAST({column} AS TEXT)", f"CAST({column} AS REAL) + 0.5",
            "CAST(x'ff' AS TEXT)", "'a' || char(0) || 'b'",
            f"upper({column})", f"{column} || ' '", f"(SELECT {column} FROM audit_log ORDER BY seq LIMIT 1 OFFSET {seq // 2})",
            f"hex({column})", f"substr({column}, 2)", "9223372036854775807", "char(0xD800)",
        ]
    )  # fmt: skip
    connection.execute(f"UPDATE audit_log SET {column} = {new} WHERE seq = ?", (seq,))


def flip(connection: sqlite3.Connection, chance: random.Random) -> None:
    """One bit of a column, as text or bytes."""
    column, seq = _column(connection, chance), _seq(connection, chance)
    kind, value = connection.execute(f"SELECT typeof({column}), {column} FROM audit_log WHERE seq = ?", (seq,)).fetchone()
    if kind == b"integer":
        connection.execute(f"UPDATE audit_log SET {column} = ? WHERE seq = ?", (value ^ 1 << chance.randint(0, 40), seq))
    elif value:
        changed = bytearray(value)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randint(0, 7)
        cast = f"CAST(? AS {'TEXT' if kind == b'text' else 'BLOB'})"
        connection.execute(f"UPDATE audit_log SET {column} = {cast} WHERE seq = ?", (bytes(changed), seq))


def delete(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Some rows that follow each other, or every so manieth."""
    seq = _seq(connection, chance)
    if chance.random() < 0.2:
        connection.execute("DELETE FROM audit_log WHERE seq % ? = 0", (chance.randint(2, 9),))
    else:
        connection.execute("DELETE FROM audit_log WHERE seq BETWEEN ? AND ?", (seq, seq + chance.choice([0, 0, 1, 5, PAGE])))


def delete_and_close_the_gap(connection: sqlite3.Connection, chance: random.Random) -> None:
    """A row less, and the later ones numbered down over it."""
    seq = _seq(connection, chance)
    connection.execute("DELETE FROM audit_log WHERE seq = ?", (seq,))
    renumber(connection, f"seq > {seq}", "seq - 1")


def insert(connection: sqlite3.Connection, chance: random.Random) -> None:
    """A row more: a copy or a made-up one, at the end, in between, or twice in one place where the table takes it."""
    seq, at = _seq(connection, chance), chance.choice(["seq", "0", "-1", "seq + 0.5", "(SELECT max(seq) + 1 FROM audit_log)", "seq + 1000"])
    if chance.random() < 0.3:
        renumber(connection, f"seq > {seq}", "seq + 1")
        at = f"{seq + 1}"
    changed = {"seq": at}
    if chance.random() < 0.5:
        changed |= {"object_name": "'made up'"}
    if chance.random() < 0.3:
        changed |= {"previous_mac": "(SELECT mac FROM audit_log ORDER BY seq DESC LIMIT 1)", "mac": "randomblob(32)"}
    if chance.random() < 0.1:
        changed |= {"chain": chance.choice(["NULL", "''", "'another'", "zeroblob(4)", "chain || ' '"])}
    _copy(connection, seq, changed)


def replay(connection: sqlite3.Connection, chance: random.Random) -> None:
    """The whole content of one row in the place of another, with or without the MAC before it."""
    seq, other = _seq(connection, chance), _seq(connection, chance)
    kept = {"seq", *(["previous_mac"] if chance.random() < 0.5 else [])}
    columns = [column for column in columns_of(connection, "audit_log") if column not in kept]
    values = ", ".join(f"{column} = (SELECT {column} FROM audit_log WHERE seq = {other})" for column in columns)
    connection.execute(f"UPDATE audit_log SET {values} WHERE seq = ?", (seq,))


def swap(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Two rows, or two rows' columns, in each other's places."""
    seq, other = _seq(connection, chance), _seq(connection, chance)
    if chance.random() < 0.5:
        for old, new in ((seq, -9), (other, seq), (-9, other)):
            connection.execute("UPDATE audit_log SET seq = ? WHERE seq = ?", (new, old))
        return
    column = _column(connection, chance)
    found = dict(connection.execute(f"SELECT seq, rowid FROM audit_log WHERE seq IN ({seq}, {other})").fetchall())
    to, whence = (seq, other) if chance.random() < 0.5 else (other, seq)
    value = f"(SELECT {column} FROM audit_log WHERE rowid = {found[whence]})"
    connection.execute(f"UPDATE audit_log SET {column} = {value} WHERE rowid = ?", (found[to],))


def reorder(connection: sqlite3.Connection, chance: random.Random) -> None:
    """Some rows turned round."""
    seq = _seq(connection, chance)
    last = seq + chance.randint(1, 20)
    renumber(connection, f"seq BETWEEN {seq} AND {last}", f"{seq} + {last} - seq")


def cut(connection: sqlite3.Connection, chance: random.Random) -> None:
    """The beginning, or the end."""
    connection.execute(f"DELETE FROM audit_log WHERE seq {chance.choice(['<', '<', '>'])} ?", (_seq(connection, chance),))


def cut_and_go_on(connection: sqlite3.Connection, chance: random.Random) -> None:
    """The end cut off, and rows that were there before put behind it."""
    seq = _seq(connection, chance)
    connection.execute("DELETE FROM audit_log WHERE seq > ?", (seq,))
    _copy(connection, chance.randint(1, seq), {"seq": f"{seq + 1}", "previous_mac": f"(SELECT mac FROM audit_log WHERE seq = {seq})"})


def rename_the_chain(connection: sqlite3.Connection, chance: random.Random) -> None:
    """All rows, or those from one on, in a chain of another name; the rows begin with 1 there, or not."""
    seq = chance.choice([1, _seq(connection, chance)])
    name = chance.choice(["'another'", "''", "NULL", "upper(chain)", "chain || ' '", "CAST(chain AS BLOB)"])
    number = chance.choice(["seq", f"seq - {seq - 1}"])
    connection.execute(f"UPDATE audit_log SET chain = {name}, seq = {number} WHERE seq >= ?", (seq,))


def renumber(connection: sqlite3.Connection, condition: str, number: str) -> None:
    """Give rows other numbers, whatever the key says on the way."""
    connection.execute("CREATE TEMP TABLE IF NOT EXISTS moved (row INTEGER, new)")
    connection.execute("DELETE FROM moved")
    connection.execute(f"INSERT INTO moved SELECT rowid, {number} FROM audit_log WHERE {condition}")
    connection.execute("UPDATE audit_log SET seq = -1000000 - seq WHERE rowid IN (SELECT row FROM moved)")
    connection.execute(
        "UPDATE audit_log SET seq = (SELECT new FROM moved WHERE row = audit_log.rowid) WHERE rowid IN (SELECT row FROM moved)"
    )


def _copy(connection: sqlite3.Connection, seq: int, changed: Mapping[str, str]) -> None:
    columns = columns_of(connection, "audit_log")
    chosen = ", ".join(changed.get(column, column) for column in columns)
    connection.execute(f"INSERT INTO audit_log ({', '.join(columns)}) SELECT {chosen} FROM audit_log WHERE seq = ? LIMIT 1", (seq,))


EDITS: Mapping[str, Edit] = {
    "change": change, "flip": flip, "delete": delete, "close a gap": delete_and_close_the_gap, "insert": insert, "replay": replay,
    "swap": swap, "reorder": reorder, "cut": cut, "cut and go on": cut_and_go_on, "rename": rename_the_chain,
}  # fmt: skip
