"""What a restore leaves for `audit verify`: a signed note of where each chain of the backup ends.

Who owns the database can take such a note away, but make none. So rows that are missing, though a head of before the restore names them,
are known to be left behind and not to be removed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from webapp.audit.heads import Last
from webapp.database import Database
from webapp.vault import Vault

PURPOSE = "audit restore v1"

NOTED = "INSERT INTO audit_restores (chain, at, ends, signature) VALUES (:chain, :at, :ends, :signature)"
"""Writes a note: see `note`."""


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore: when (Unix milliseconds), and the last row of each chain that the backup held."""

    at: int
    ends: Mapping[str, int]


def note(vault: Vault, chain: str, at: int, lasts: Sequence[Last]) -> dict[str, Any]:
    """The note, as a row: of the restore after which this chain was begun."""
    ends = json.dumps({last.chain: last.seq for last in lasts}, sort_keys=True)
    return {"chain": chain, "at": at, "ends": ends, "signature": vault.signature(PURPOSE, _content(vault, chain, at, ends))}


async def signed_restores(database: Database, vault: Vault) -> tuple[list[Restore], int]:
    """The restores that are noted and signed, and how many notes are not. Raises Unavailable."""
    signed, unsigned = list[Restore](), 0
    for row in await database.fetch_all("SELECT chain, at, ends, signature FROM audit_restores"):
        chain, at, ends = row["chain"], row["at"], row["ends"]
        whole = isinstance(chain, str) and isinstance(at, int) and isinstance(ends, str) and isinstance(row["signature"], bytes)
        if whole and chain.isascii() and ends.isascii() and vault.is_signed(PURPOSE, _content(vault, chain, at, ends), row["signature"]):
            signed.append(Restore(at, json.loads(ends)))
        else:
            unsigned += 1
    return signed, unsigned


def _content(vault: Vault, chain: str, at: int, ends: str) -> bytes:
    return f"{vault.instance_id}\n{chain}\n{at}\n{ends}".encode("ascii")
