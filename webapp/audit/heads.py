"""Signed heads: what is kept elsewhere of the audit log, so that rows which are cut off at its end are missed.

A head is a line of JSON that names every chain with its last row's number and MAC. It is signed with Ed25519 over the same object without
its signature, with sorted keys and without blanks. Whoever keeps heads can tell which rows there were; the MACs themselves, only the
installation can verify.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webapp.clock import Clock
from webapp.database import Database
from webapp.errors import ConfigurationError
from webapp.names import printable
from webapp.vault import Vault

PURPOSE = "audit head v1"
"""What a signature of a head begins with, so that none is taken for anything else."""

_LONGEST_LINE = 1024 * 1024

# From one chain's name to the next one, by the key: the log itself is much longer than its chains are many.
CHAINS = (
    "WITH RECURSIVE chains (chain) AS (SELECT min(chain) FROM audit_log"
    " UNION ALL SELECT (SELECT min(a.chain) FROM audit_log a WHERE a.chain > c.chain) FROM chains c WHERE c.chain IS NOT NULL)"
    " SELECT chain FROM chains WHERE chain IS NOT NULL"
)
"""The names of the chains."""

_LAST = "SELECT chain, seq, mac FROM audit_log WHERE chain = :chain ORDER BY seq DESC LIMIT 1"


@dataclass(frozen=True, slots=True)
class Last:
    """The last row of a chain, as a head names it; `mac` is in hexadecimal."""

    chain: str
    seq: int
    mac: str


@dataclass(frozen=True, slots=True)
class Head:
    """What was signed: every chain's last row, and when (Unix milliseconds)."""

    installation: str
    at: int
    chains: tuple[Last, ...]


async def current(database: Database, vault: Vault, clock: Clock) -> Head:
    """The head as it is now. Raises Unavailable."""
    chains = []
    for row in await database.fetch_all(CHAINS):
        if not (isinstance(row["chain"], str) and row["chain"].isascii()):
            continue  # none of ours: somebody who owns the database has put it there, and `verify` says so
        last = await database.fetch_one(_LAST, {"chain": row["chain"]})
        if last is not None and isinstance(last["mac"], bytes) and isinstance(last["seq"], int):
            chains.append(Last(last["chain"], last["seq"], last["mac"].hex()))
    return Head(vault.instance_id, clock(), tuple(chains))


def line_of(head: Head, vault: Vault) -> str:
    """The head as a signed line, without its end."""
    content = _content(head, vault)
    return json.dumps(content | {"signature": vault.signature(PURPOSE, _canonical(content)).hex()})


def parse_line(line: str, vault: Vault) -> Head:
    """The head of a line. Raises ValueError with the reason when this installation has not signed it."""
    try:
        content = json.loads(line)
        signature = bytes.fromhex(content.pop("signature"))
        chains = tuple(Last(str(each["chain"]), int(each["seq"]), str(each["mac"])) for each in content["chains"])
        at = datetime.fromisoformat(content["at"])
        head = Head(str(content["installation"]), round(at.timestamp() * 1000), chains)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ValueError("is no head of an audit log") from None
    if head.installation != vault.instance_id:
        raise ValueError(f"is of another installation ({printable(head.installation)[:40]})")
    if not vault.is_signed(PURPOSE, _canonical(content), signature):
        raise ValueError("is not signed by this installation")
    return head


def read_heads(path: Path, vault: Vault) -> tuple[Head, ...]:
    """Of a file of heads, the last one, and those that name a chain's highest row of all.

    Its lines may be those of several exports, in any order; a last line that was cut off by a crash is passed over.
    Raises ConfigurationError when it cannot be read, or a line of it is not signed by this installation.
    """
    latest: Head | None = None
    highest: dict[str, tuple[int, Head]] = {}
    for number, line, whole in _lines(path):
        try:
            head = parse_line(line, vault)
        except ValueError as error:
            if not whole:
                continue
            raise ConfigurationError(f"{path}: line {number} {error}. Name a file that this installation has written.") from None
        latest = head if latest is None or head.at >= latest.at else latest
        for last in head.chains:
            if last.seq >= highest.get(last.chain, (0, head))[0]:
                highest[last.chain] = (last.seq, head)
    return tuple(dict.fromkeys([*(head for _, head in highest.values()), *filter(None, [latest])]))


def _lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The lines with their numbers, and whether they have an end."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if line.strip():
                    yield number, line, line.endswith("\n")
    except OSError as error:
        raise ConfigurationError(f"{path}: the heads in it cannot be read ({error.strerror}).") from None


def _content(head: Head, vault: Vault) -> dict[str, Any]:
    at = datetime.fromtimestamp(head.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    chains = [{"chain": last.chain, "seq": last.seq, "mac": last.mac} for last in head.chains]
    return {"at": at, "chains": chains, "installation": head.installation, "key": vault.public_key}


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
