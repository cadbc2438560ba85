"""Links between members and the persons of an OpenID Connect issuer, in the database."""

from dataclasses import replace

from webapp.accounts.identity import Identity, NotLinked, Person, identity_mac, is_genuine_identity
from webapp.accounts.member import Member, is_genuine, key_to_look_for
from webapp.accounts.members import member_of
from webapp.accounts.sessions import require_signed_in
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, DuplicateKey, Row
from webapp.errors import Conflict, NotFound, Unavailable
from webapp.ids import new_id
from webapp.log import get_logger
from webapp.nonce import spend_nonce
from webapp.vault import Vault

_BY_ADDRESS = "SELECT id, account_id, email, email_key, role, password_hash, mac FROM members WHERE email_key = :key"
_BY_ID = "SELECT id, account_id, email, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND id = :id"

_logger = get_logger(__name__)


class Identities:
    """The links of all accounts."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def who(self, person: Person, name: str) -> Member:
        """The member who this person is, or becomes with `use`; `name` is the issuer's. Raises NotLinked for nobody of ours.

        Its two statements know no account yet: the person is what tells it.
        """
        linked = await self._database.fetch_one(
            "SELECT m.id, m.account_id, m.email, m.role FROM identities i JOIN members m ON m.id = i.member_id AND m.account_id ="
            " i.account_id WHERE i.issuer = :issuer AND i.subject = :subject",
            {"issuer": person.issuer, "subject": person.subject},
        )
        if linked is not None:
            return member_of(linked)
        if not person.email_verified or not person.email:
            raise _unverified(name)
        row = await self._database.fetch_one(_BY_ADDRESS, {"key": key_to_look_for(person.email)})
        if row is None or not _is_address_of(person, row):
            raise NotLinked(
                f"{name} knows you as {person.email}, and nobody here has that address. Ask an admin to invite it, or sign in another way.",
                "nobody has the address",
            )
        return member_of(row)

    async def use(self, transaction: AccountTransaction, actor: Actor, member: Member, person: Person, name: str, *, state: str) -> None:
        """See once more, in the transaction of what it is for, that the person is this member; link the two when they are not yet.

        `state` is the sign-in's: it is spent on this, and counts no second time. Raises NotLinked.
        """
        if await spend_nonce(transaction, state, member.id, self._clock()) is not None:
            raise NotLinked("This sign-in was used already. Begin again.", "the sign-in was used already")
        row = await transaction.fetch_one(_BY_ID, {"id": member.id})
        if row is None or not is_genuine(self._vault, row):
            raise NotLinked("You are no member here any more.", "the member is gone, or the row was not written by this program")
        link = await transaction.fetch_one(
            "SELECT id, account_id, member_id, issuer, subject, mac FROM identities"
            " WHERE account_id = :account_id AND member_id = :member_id AND issuer = :issuer",
            {"member_id": member.id, "issuer": person.issuer},
        )
        if link is None:
            await self._link(transaction, actor, row, person, name)
            return
        if link["subject"] != person.subject:
            raise _another(name, member.email)
        if not is_genuine_identity(self._vault, link):
            _logger.error("an identity's row was not written by this program, so nobody signs in with it", identity=link["id"])
            raise NotLinked(f"Your link to {name} is not valid. Sign in another way, unlink it and link it again.", "the link was forged")
        await transaction.execute(
            "UPDATE identities SET last_used_at = :now WHERE account_id = :account_id AND id = :id",
            {"now": self._clock(), "id": link["id"]},
        )

    async def confirm(self, transaction: AccountTransaction, actor: Actor, person: Person, name: str, *, state: str) -> None:
        """See that the person is the actor, who is signed in and linked already. Raises NotLinked."""
        linked = await transaction.fetch_one(
            "SELECT subject FROM identities WHERE account_id = :account_id AND member_id = :member_id AND issuer = :issuer",
            {"member_id": actor.id, "issuer": person.issuer},
        )
        if linked is None or linked["subject"] != person.subject:
            raise NotLinked(
                f"Whoever signed in at {name} is not the person whom {actor.label} is linked to, so nothing was confirmed. Sign in there as"
                " yourself, or enter your password.",
                "another person answered",
            )
        await self.use(transaction, actor, Member(actor.id, actor.account_id, actor.label, "viewer"), person, name, state=state)

    async def link(self, actor: Actor, person: Person, name: str, *, state: str) -> None:
        """Link the actor, who is signed in, to a person with the same address. Raises NotLinked, Unauthorised."""
        async with self._database.account(actor.account_id).transaction() as transaction:
            await require_signed_in(transaction, actor)
            await self.use(transaction, actor, Member(actor.id, actor.account_id, actor.label, "viewer"), person, name, state=state)

    async def of_member(self, actor: Actor) -> list[Identity]:
        """The actor's own links: to the issuer of now, and to those of before."""
        rows = await self._database.account(actor.account_id).fetch_all(
            "SELECT id, issuer, created_at, last_used_at FROM identities WHERE account_id = :account_id AND member_id = :member_id"
            " ORDER BY created_at, id",
            {"member_id": actor.id},
        )
        return [Identity(**row) for row in rows]

    async def get(self, actor: Actor, identity_id: str) -> Identity:
        """One of the actor's own links. Raises NotFound."""
        found = next((each for each in await self.of_member(actor) if each.id == identity_id), None)
        if found is None:
            raise NotFound("You have no such link.")
        return found

    async def unlink(self, actor: Actor, identity_id: str, issuer: str) -> None:
        """Remove one of the actor's own links. Raises NotFound; Conflict when nothing else signs the actor in.

        `issuer` is the one of now: a link to one of before signs nobody in.
        """
        async with self._database.account(actor.account_id).transaction() as transaction:
            row = await transaction.fetch_one(
                "SELECT m.password_hash, i.issuer,"
                " EXISTS (SELECT 1 FROM passkeys p WHERE p.account_id = :account_id AND p.member_id = m.id) AS has_passkey,"
                " EXISTS (SELECT 1 FROM identities o WHERE o.account_id = :account_id AND o.member_id = m.id AND o.id <> :id"
                " AND o.issuer = :issuer) AS has_another"
                " FROM identities i JOIN members m ON m.id = i.member_id AND m.account_id = i.account_id"
                " WHERE i.account_id = :account_id AND i.id = :id AND i.member_id = :member_id",
                {"id": identity_id, "member_id": actor.id, "issuer": issuer},
            )
            if row is None:
                raise NotFound("You have no such link.")
            if row["issuer"] == issuer and not (row["password_hash"] or row["has_passkey"] or row["has_another"]):
                raise Conflict("It is the only way that you sign in. Add a passkey or set a password first.", "last-way-to-sign-in")
            await transaction.execute("DELETE FROM identities WHERE account_id = :account_id AND id = :id", {"id": identity_id})
            event = Event("member.unlink", "member", actor.id, actor.label, detail=f"from {row['issuer']}")
            await self._chain.append(transaction, actor, event)

    async def record_refusal(self, actor: Actor, member: Member, action: str, why: str) -> None:
        """Write into the audit log that somebody whom the issuer vouches for was not taken for this member."""
        event = Event(action, "member", member.id, member.email, decision="denied", detail=why)
        try:
            await self._chain.append_and_commit(replace(actor, account_id=member.account_id), event)
        except Unavailable:
            _logger.error("a refused sign-in could not be written into the audit log")

    async def _link(self, transaction: AccountTransaction, actor: Actor, member: Row, person: Person, name: str) -> None:
        if not person.email_verified or not person.email:
            raise _unverified(name)
        if not _is_address_of(person, member):
            raise NotLinked(
                f"{name} knows you as {person.email}, and here you are {member['email']}. Only a person with the same address is linked.",
                "the address is another one",
            )
        row = {
            "id": new_id(),
            "account_id": transaction.account_id,
            "member_id": member["id"],
            "issuer": person.issuer,
            "subject": person.subject,
        }
        try:
            await transaction.execute(
                "INSERT INTO identities (id, account_id, member_id, issuer, subject, mac, created_at, last_used_at)"
                " VALUES (:id, :account_id, :member_id, :issuer, :subject, :mac, :now, :now)",
                {**row, "mac": identity_mac(self._vault, row), "now": self._clock()},
            )
        except DuplicateKey:  # in the same moment, or the person is linked to another member
            raise _another(name, member["email"]) from None
        who = replace(actor, account_id=transaction.account_id, kind="member", id=member["id"], label=member["email"])
        await self._chain.append(
            transaction, who, Event("member.link", "member", member["id"], member["email"], detail=f"to a person of {person.issuer}")
        )


def _is_address_of(person: Person, member: Row) -> bool:
    """Whether the person's address is the member's, but for capital letters in ASCII.

    A key makes other letters one as well, such as the Kelvin sign and k; an issuer that takes the two for different addresses would
    have verified one and handed out the other.
    """
    if person.email == member["email"]:
        return True
    both = person.email.isascii() and str(member["email"]).isascii()
    return both and key_to_look_for(person.email) == member["email_key"]


def _unverified(name: str) -> NotLinked:
    return NotLinked(
        f"{name} does not say that it has verified your email address, so it is not known here who you are. Verify it there, or sign in"
        " another way.",
        "the address is not verified",
    )


def _another(name: str, email: str) -> NotLinked:
    return NotLinked(
        f"{email} is linked to another person of {name} already, or this person to another member. Sign in another way, and unlink"
        " that one first.",
        "another person is linked already",
    )
