"""Signed heads: what is kept elsewhere of the audit log, so that rows which are cut off at its end are missed.

A head is a line of JSON that names every chain with its last row's number and MAC. It is signed with Ed25519 over the same object without
its signature, with sorted keys and without blanks. Whoever keeps heads can tell which rows there were; the MACs themselves, only the
installation can verify.
"""

import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from webapp.chain import mac_input
from webapp.clock import Clock
from webapp.database import Database, Row
from webapp.errors import ConfigurationError
from webapp.names import printable
from webapp.vault import Vault

PURPOSE = "audit head v1"
"""What a signature of a head begins with, so that none is taken for anything else."""

CHAIN = re.compile(r"[0-9a-f]{32}", re.ASCII)
"""What the name of a chain looks like."""

_LONGEST_LINE = 1024 * 1024

# From one chain's name to the next one, by the key: the log itself is much longer than its chains are many.
_CHAINS = (
    "WITH RECURSIVE chains (chain) AS (SELECT min(chain) FROM audit_log"
    " UNION ALL SELECT (SELECT min(a.chain) FROM audit_log a WHERE a.chain > c.chain) FROM chains c WHERE c.chain IS NOT NULL)"
)
CHAINS = f"{_CHAINS} SELECT chain FROM chains WHERE chain IS NOT NULL"
"""The names of the chains."""

WRITTEN = (
    f"{_CHAINS} SELECT sum((SELECT max(a.seq) FROM audit_log a WHERE a.chain = c.chain)) AS rows FROM chains c WHERE c.chain IS NOT NULL"
)
"""How many rows were ever written to the chains that there are."""

# SQLite puts text and bytes behind all numbers: whoever owns the database could put such a row behind the last one.
_LAST = "SELECT * FROM audit_log WHERE chain = :chain AND seq <= :largest ORDER BY seq DESC LIMIT 1"
_LARGEST = 2**63 - 1


class NoHead(ValueError):
    """A line is no head at all."""


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
    """The head as it is now: of each chain whose last row is as it was written. Raises Unavailable."""
    chains = []
    for row in await database.fetch_all(CHAINS):
        if not (isinstance(row["chain"], str) and CHAIN.fullmatch(row["chain"])):
            continue  # none of ours: somebody who owns the database has put it there, and `verify` says so
        last = await database.fetch_one(_LAST, {"chain": row["chain"], "largest": _LARGEST})
        if last is not None and is_as_written(vault, last):  # nothing is signed that this installation has not written
            chains.append(Last(last["chain"], last["seq"], last["mac"].hex()))
    return Head(vault.instance_id, clock(), tuple(chains))


def is_as_written(vault: Vault, row: Row) -> bool:
    """Whether a row's MAC is over the MAC before it and over the row."""
    try:
        return hmac.compare_digest(row["mac"], vault.audit_mac(mac_input(row["previous_mac"], row)))
    except TypeError:  # SQLite keeps text and numbers in a column of bytes, and bytes in one of text
        return False


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
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise NoHead("is no head of an audit log") from None
    if head.installation != vault.instance_id:
        raise ValueError(f"is of another installation ({printable(head.installation)[:40]})")
    if not vault.is_signed(PURPOSE, _canonical(content), signature):
        raise ValueError("is not signed by this installation")
    return head


def read_heads(path: Path, vault: Vault) -> tuple[Head, ...]:
    """The heads of a file: all of them, since whoever puts an older log in place may have it grow beyond the last one.

    Its lines may be those of several exports, in any order; what a crash has cut off, and is no head, is passed over. Raises
    ConfigurationError when it cannot be read, or a head in it is not signed by this installation.
    """
    heads = []
    for number, line in _lines(path):
        try:
            heads.append(parse_line(line, vault))
        except NoHead:
            continue
        except ValueError as error:
            raise ConfigurationError(f"{path}: line {number} {error}. Name a file that this installation has written.") from None
    return tuple(heads)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines with their numbers."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ConfigurationError(f"{path}: the heads in it cannot be read ({error.strerror}).") from None


def _content(head: Head, vault: Vault) -> dict[str, Any]:
    at = datetime.fromtimestamp(head.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    chains = [{"chain": last.chain, "seq": last.seq, "mac": last.mac} for last in head.chains]
    return {"at": at, "chains": chains, "installation": head.installation, "key": vault.public_key}


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
