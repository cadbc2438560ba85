"""Reading the audit log. It is written by `webapp.chain`, and changed by nothing."""

from dataclasses import dataclass

from webapp.actor import Actor
from webapp.audit.filters import AuditFilter
from webapp.audit.heads import CHAIN
from webapp.audit.record import COLUMNS, AuditRecord
from webapp.chain import AuditChain
from webapp.clock import Clock
from webapp.database import Database
from webapp.vault import Vault

PAGE = 50


@dataclass(frozen=True, slots=True)
class AuditPage:
    """A page of the log, newest first; `before` is the key of the next page, None on the last one."""

    records: list[AuditRecord]
    before: str | None


class AuditRepository:
    """The account's audit log."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database

    async def page(self, actor: Actor, chosen: AuditFilter, *, before: str = "", limit: int = PAGE) -> AuditPage:
        """The rows that the filter chooses, newest first, from the key `before` on (a time, a number, and the chain whose it is)."""
        sql = f"SELECT {', '.join(COLUMNS)}, chain FROM audit_log WHERE account_id = :account_id"
        values: dict[str, object] = {"limit": limit + 1}
        for column, value in (("action", chosen.action), ("decision", chosen.decision)):
            if value:
                sql += f" AND {column} = :{column}"
                values[column] = value
        if chosen.since_ms is not None:
            sql += " AND at >= :since"
            values["since"] = chosen.since_ms
        if chosen.until_ms is not None:
            sql += " AND at < :until"
            values["until"] = chosen.until_ms
        if chosen.query:
            sql += (
                " AND (lower(actor_label) LIKE :pattern ESCAPE '!' OR lower(object_name) LIKE :pattern ESCAPE '!'"
                # SQLite lowers ASCII only, so that what is beyond it is found as it was typed.
                " OR actor_label LIKE :typed ESCAPE '!' OR object_name LIKE :typed ESCAPE '!'"
                " OR accessor = :exact OR address = :exact OR object_id = :exact OR request_id = :exact)"
            )
            typed = "%" + "".join("!" + c if c in "!%_" else c for c in chosen.query) + "%"
            values |= {"pattern": typed.lower(), "typed": typed, "exact": chosen.query}
        key = _parsed(before)
        if key is not None:
            # Written so that the index is read from there on; several chains may have a row with this time and number.
            sql += " AND at <= :before_at AND (at < :before_at OR seq < :before_seq OR (seq = :before_seq AND chain < :before_chain))"
            values |= {"before_at": key[0], "before_seq": key[1], "before_chain": key[2]}
        sql += " ORDER BY at DESC, seq DESC, chain DESC LIMIT :limit"
        rows = await self._database.account(actor.account_id).fetch_all(sql, values)
        records = [AuditRecord(**{column: row[column] for column in COLUMNS}) for row in rows[:limit]]
        return AuditPage(records, "{at}-{seq}-{chain}".format(**rows[limit - 1]) if len(rows) > limit else None)


def _parsed(before: str) -> tuple[int, int, str] | None:
    at, dash, rest = before.partition("-")
    seq, _, chain = rest.partition("-")
    whole = dash and all(part.isascii() and part.isdigit() and len(part) < 19 for part in (at, seq))
    return (int(at), int(seq), chain) if whole and (not chain or CHAIN.fullmatch(chain)) else None
