"""Passkeys in the database: a member's own, and the one that somebody signs in with."""

import re
from dataclasses import dataclass, replace

from webapp.accounts.authenticator import REFUSED
from webapp.accounts.member import Member, is_genuine
from webapp.accounts.passkey import (
    MOST,
    Assertion,
    NewPasskey,
    Passkey,
    has_gone_back,
    is_genuine_passkey,
    is_last_way_in,
    passkey_mac,
)
from webapp.accounts.sessions import require_signed_in
from webapp.accounts.signing_in import Within
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, DuplicateKey, Row
from webapp.errors import Conflict, Invalid, NotFound
from webapp.ids import new_id
from webapp.log import get_logger
from webapp.names import Name
from webapp.nonce import spend_nonce
from webapp.vault import Vault

WENT_BACK = (
    "This passkey counts how often it is used, and its count has gone back, as when there is a copy of it. It was refused. Sign in another"
    " way, remove this passkey and add a new one."
)
SPENT = "This was used before, and counts once. Begin again."

_COLUMNS = "id, account_id, member_id, credential_id, public_key, mac, name, sign_count, backed_up, transports, created_at, last_used_at"
_OWN = f"SELECT {_COLUMNS} FROM passkeys WHERE account_id = :account_id AND member_id = :member_id ORDER BY created_at, id"
_ONE = f"SELECT {_COLUMNS} FROM passkeys WHERE account_id = :account_id AND id = :id"
_SHOWN = (
    f"SELECT {', '.join(f'p.{name}' for name in _COLUMNS.split(', '))},"
    " m.email, m.email_key, m.role, m.password_hash, m.mac AS member_mac"
    " FROM passkeys p JOIN members m ON m.id = p.member_id AND m.account_id = p.account_id WHERE p.credential_id = :credential_id"
)
_OTHER_WAYS = (
    "SELECT m.password_hash, EXISTS (SELECT 1 FROM identities i WHERE i.account_id = m.account_id AND i.member_id = m.id"
    " AND i.issuer = :issuer) AS has_identity"
    " FROM members m WHERE m.account_id = :account_id AND m.id = :member_id"
)
_BASE64URL = re.compile("[A-Za-z0-9_-]{1,1400}")

_logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ShownPasskey:
    """A passkey that somebody says is theirs, and its member; they are to prove it."""

    id: str
    name: str
    public_key: bytes
    member: Member


class WentBack(Invalid):
    """The passkey's count of signatures went back, as when there is a copy of its authenticator."""


class PasskeyRepository:
    """The passkeys of all members."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, issuer: str) -> None:
        """`issuer` is the OpenID Connect one of now, empty for none: a link to another signs nobody in."""
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock
        self._issuer = issuer

    async def of_member(self, actor: Actor) -> list[Passkey]:
        """The actor's own, the oldest first."""
        rows = await self._database.account(actor.account_id).fetch_all(_OWN, {"member_id": actor.id})
        return [_passkey(row) for row in rows if self._is_genuine(row)]

    async def get(self, actor: Actor, passkey_id: str) -> Passkey:
        """One of the actor's own. Raises NotFound."""
        return _own(await self._database.account(actor.account_id).fetch_one(_ONE, {"id": passkey_id}), actor)

    async def add(self, actor: Actor, name: Name, made: NewPasskey, challenge: str) -> Passkey:
        """Add a passkey to the actor's, and spend the challenge that it was made for.

        Raises Invalid for a challenge that was spent, Conflict when the passkey is there already or there are too many, Unauthorised
        when the actor's session has ended meanwhile.
        """
        row = {
            "id": new_id(),
            "member_id": actor.id,
            "credential_id": made.credential_id,
            "public_key": made.public_key,
            "name": name.text,
            "sign_count": made.sign_count,
            "backed_up": int(made.synced),
            "transports": ",".join(made.transports),
            "created_at": self._clock(),
        }
        mac = passkey_mac(self._vault, {**row, "account_id": actor.account_id})
        try:
            async with self._database.account(actor.account_id).transaction() as transaction:
                await require_signed_in(transaction, actor)
                if await spend_nonce(transaction, challenge, str(row["id"]), self._clock()) is not None:
                    raise Invalid({"": SPENT})
                refuse_too_many(len(await transaction.fetch_all(_OWN, {"member_id": actor.id})))
                await transaction.insert("passkeys", {**row, "mac": mac})
                event = Event("passkey.create", "passkey", str(row["id"]), name.text)
                await self._chain.append(transaction, actor, event)
        except DuplicateKey:
            raise Conflict("This passkey is stored here already, for you or for somebody else. Use another one.", "passkey-known") from None
        return await self.get(actor, str(row["id"]))

    async def rename(self, actor: Actor, passkey_id: str, name: Name) -> None:
        """Give one of the actor's own another name. Raises NotFound."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            passkey = _own(await transaction.fetch_one(_ONE, {"id": passkey_id}), actor)
            if passkey.name == name.text:
                return
            await transaction.update("passkeys", passkey_id, {"name": name.text})
            event = Event("passkey.rename", "passkey", passkey_id, name.text, detail=f"before: {passkey.name}")
            await self._chain.append(transaction, actor, event)

    async def remove(self, actor: Actor, passkey_id: str) -> None:
        """Remove one of the actor's own. Raises NotFound, Conflict for the last way in which they can sign in."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            passkey = _own(await transaction.fetch_one(_ONE, {"id": passkey_id}), actor)
            others = await transaction.fetch_all(_OWN, {"member_id": actor.id})
            ways = await transaction.fetch_one(_OTHER_WAYS, {"member_id": actor.id, "issuer": self._issuer})
            if ways is None:
                raise NotFound("There is no such passkey.")
            if is_last_way_in(
                has_password=ways["password_hash"] != "",
                has_identity=bool(ways["has_identity"]),
                other_passkeys=sum(row["id"] != passkey_id and self._is_genuine(row) for row in others),
            ):
                raise Conflict(
                    f"{passkey.name} is your only way to sign in, so it stays. Add another passkey or set a password first.", "last-way-in"
                )
            await transaction.execute("DELETE FROM passkeys WHERE account_id = :account_id AND id = :id", {"id": passkey_id})
            await self._chain.append(transaction, actor, Event("passkey.delete", "passkey", passkey_id, passkey.name))

    async def shown(self, unverified_credential_id: str) -> ShownPasskey | None:
        """The passkey with this credential id, of whatever account; None for one that is not known, or that is not genuine."""
        if not _BASE64URL.fullmatch(unverified_credential_id):
            return None
        # Nobody is known yet: the passkey is what tells the account.
        row = await self._database.fetch_one(_SHOWN, {"credential_id": unverified_credential_id})
        if row is None or not self._is_genuine(row):
            return None
        if not is_genuine(self._vault, {**row, "id": row["member_id"], "mac": row["member_mac"]}):
            _logger.error("a member's row was not written by this program, so nobody signs in with it", member=row["member_id"])
            return None
        member = Member(row["member_id"], row["account_id"], row["email"], row["role"])
        return ShownPasskey(row["id"], row["name"], bytes(row["public_key"]), member)

    def spending(self, shown: ShownPasskey, assertion: Assertion, challenge: str) -> Within:
        """What is to become true together with what the passkey was shown for: it is still there, was used, and the challenge is spent.

        Raises Invalid there, WentBack when its count of signatures did.
        """

        async def within(transaction: AccountTransaction) -> None:
            now = self._clock()
            row = await transaction.fetch_one(_ONE, {"id": shown.id})
            if row is None or not self._is_genuine(row):
                raise Invalid({"": REFUSED})  # it was removed meanwhile
            if await spend_nonce(transaction, challenge, shown.id, now) is not None:
                raise Invalid({"": SPENT})
            if has_gone_back(row["sign_count"], assertion.sign_count):
                raise WentBack({"": WENT_BACK})
            used = {"sign_count": assertion.sign_count, "backed_up": int(assertion.synced), "last_used_at": now}
            await transaction.update("passkeys", shown.id, used)

        return within

    async def record_refusal(self, actor: Actor, action: str, member: Member, detail: str) -> None:
        """Write into the audit log that a passkey was shown for this member, and refused. Raises Unavailable."""
        event = Event(action, "member", member.id, member.email, decision="denied", detail=detail)
        await self._chain.append_and_commit(replace(actor, account_id=member.account_id), event)

    def _is_genuine(self, row: Row) -> bool:
        if is_genuine_passkey(self._vault, row):
            return True
        _logger.error("a passkey's row was not written by this program, so nobody signs in with it", passkey=row["id"])
        return False


def refuse_too_many(count: int) -> None:
    """Raise Conflict when a member has as many passkeys as one may have."""
    if count >= MOST:
        raise Conflict(f"You have {count} passkeys, and {MOST} is the most. Remove one first.", "too-many-passkeys")


def _own(row: Row | None, actor: Actor) -> Passkey:
    if row is None or row["member_id"] != actor.id:
        raise NotFound("There is no such passkey.")
    return _passkey(row)


def _passkey(row: Row) -> Passkey:
    transports = tuple(filter(None, row["transports"].split(",")))
    return Passkey(row["id"], row["name"], row["credential_id"], transports, bool(row["backed_up"]), row["created_at"], row["last_used_at"])
