"""API tokens in the database: a keyed hash of each, never the token."""

from webapp.accounts.api_token import LIFETIMES, MOST_ACTIVE, USED_EVERY, ApiCaller, ApiToken, token_owner
from webapp.accounts.member import is_genuine
from webapp.accounts.sessions import require_signed_in
from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import Clock
from webapp.database import AccountTransaction, Database, Row
from webapp.errors import Forbidden, Invalid, NotFound, Unavailable
from webapp.ids import new_id
from webapp.log import get_logger
from webapp.names import Name
from webapp.nonce import spend_nonce
from webapp.records import FIRST_PAGE, Order, Page, Wanted, page_of
from webapp.roles import Role, is_at_most
from webapp.vault import Secret, Token, Vault, mint

NEWEST = Order(("created_at", "id"), descending=True, numeric="created_at")

_SELECT = (
    "SELECT t.id, t.accessor, t.name, t.role, t.member_id, m.email AS owner, m.role AS member_role, t.created_at, t.expires_at,"
    " t.last_used_at, t.revoked_at FROM api_tokens t JOIN members m ON m.id = t.member_id AND m.account_id = t.account_id"
    " WHERE t.account_id = :account_id"
)
_ACTIVE = " AND t.revoked_at IS NULL AND t.expires_at > :now"
_ENDED = " AND (t.revoked_at IS NOT NULL OR t.expires_at <= :now)"

_BEARER = (
    "SELECT t.id, t.account_id, t.accessor, t.mac, t.name, t.role, t.member_id, t.created_at, t.expires_at, t.last_used_at, t.revoked_at,"
    " m.email AS owner, m.email_key, m.role AS member_role, m.password_hash, m.mac AS member_mac, a.name AS account_name"
    " FROM api_tokens t JOIN members m ON m.id = t.member_id AND m.account_id = t.account_id JOIN accounts a ON a.id = t.account_id"
    " WHERE t.accessor = :accessor"
)

_logger = get_logger(__name__)


class ApiTokenRepository:
    """The API tokens of an account's members."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._chain = chain
        self._clock = clock

    async def create(self, actor: Actor, *, name: Name, role: Role, lifetime: str, nonce: str = "") -> tuple[ApiToken, Secret | None]:
        """Make a token of the actor's, with one of LIFETIMES; the secret is to be shown once.

        A nonce that was spent leads to the token that it made, whose secret was shown then. Raises Invalid, also for a role above the
        actor's own, for the name of another active token of theirs and for too many; Forbidden for an actor who is no member any more,
        Unauthorised for one whose session has ended.
        """
        if lifetime not in LIFETIMES:
            raise Invalid({"lifetime": "Choose a lifetime of the list: " + ", ".join(words for words, _ in LIFETIMES.values()) + "."})
        words, milliseconds = LIFETIMES[lifetime]
        token, token_id, now = mint("p"), new_id(), self._clock()
        expires_at = now + milliseconds
        owner = token_owner(token_id, actor.id, role)
        mac = self._vault.token_mac(token, owner=owner, account_id=actor.account_id, expires_at=expires_at)
        async with self._database.account(actor.account_id).transaction() as transaction:
            await require_signed_in(transaction, actor)
            earlier = await spend_nonce(transaction, nonce, token_id, now)
            if earlier is None:
                await self._refuse(transaction, actor, name, role, now)
                made = {"id": token_id, "member_id": actor.id, "accessor": token.accessor, "mac": mac, "role": role}
                times = {"created_at": now, "expires_at": expires_at}
                await transaction.insert("api_tokens", {**made, "name": name.text, "name_key": name.key, **times})
                detail = f"accessor {token.accessor}; role: {role}; lifetime {words}"
                await self._chain.append(transaction, actor, Event("api_token.create", "api_token", token_id, name.text, detail=detail))
        return await self.get(actor, earlier or token_id, member_id=actor.id), token.text if earlier is None else None

    async def page(self, actor: Actor, wanted: Wanted = FIRST_PAGE, *, member_id: str | None, ended: bool = False) -> Page[ApiToken]:
        """A page of the tokens of a member, or of everybody in the account (None), the newest first: the active ones, or the others."""
        values: dict[str, object] = {"now": self._clock()} | _whose(member_id)
        select = _SELECT + (" AND t.member_id = :member_id" if member_id else "") + (_ENDED if ended else _ACTIVE)
        account = self._database.account(actor.account_id)
        return await page_of(account, [select], _token, table="api_tokens", alias="t", wanted=wanted, order=NEWEST, values=values)

    async def get(self, actor: Actor, token_id: str, *, member_id: str | None) -> ApiToken:
        """One token, of this member or of anybody in the account (None). Raises NotFound."""
        condition = " AND t.id = :id" + (" AND t.member_id = :member_id" if member_id else "")
        row = await self._database.account(actor.account_id).fetch_one(_SELECT + condition, {"id": token_id} | _whose(member_id))
        if row is None:
            raise NotFound("There is no such API token here.")
        return _token(row)

    async def revoke(self, actor: Actor, token_id: str, *, member_id: str | None) -> None:
        """End a token at once, of this member or of anybody in the account (None). Raises NotFound; one that is revoked stays as it is."""
        token = await self.get(actor, token_id, member_id=member_id)
        async with self._database.account(actor.account_id).transaction() as transaction:
            row = await transaction.fetch_one(
                "UPDATE api_tokens SET revoked_at = :now WHERE account_id = :account_id AND id = :id AND revoked_at IS NULL RETURNING id",
                {"now": self._clock(), "id": token.id},
            )
            if row is not None:
                detail = f"accessor {token.accessor}" + ("" if token.member_id == actor.id else f"; of {token.owner}")
                await self._chain.append(transaction, actor, Event("api_token.revoke", "api_token", token.id, token.name, detail=detail))

    async def find_bearer(self, token: Token) -> tuple[ApiCaller, str | None] | None:
        """Whose token this is, and why it is refused (None when it is valid). None for an unknown one, and for one of nobody any more."""
        # A statement that knows no account yet: the token is what tells it.
        row = await self._database.fetch_one(_BEARER, {"accessor": token.accessor})
        if row is None:
            return None
        known = _token(row)
        actor = Actor(row["account_id"], "api_token", known.id, f"{known.name} ({known.owner})", accessor=token.accessor)
        caller = ApiCaller(actor, known.acts_as, known, row["account_name"])
        owner = token_owner(known.id, known.member_id, known.role)
        if not self._vault.token_matches(token, row["mac"], owner=owner, account_id=actor.account_id, expires_at=known.expires_at):
            return caller, "the token's accessor is known, the token is not"
        member = {**row, "id": known.member_id, "email": known.owner, "role": known.member_role, "mac": row["member_mac"]}
        if not is_genuine(self._vault, member):
            _logger.error("a member's row was not written by this program, so their API tokens are none", member=known.member_id)
            return caller, "the member's row was not written by this program"
        now = self._clock()
        if known.state(now) != "active":
            return caller, "the token is revoked" if known.revoked_at is not None else "the token has expired"
        if known.last_used_at is None or now - known.last_used_at >= USED_EVERY:
            await self._touch(caller, now)
        return caller, None

    async def _refuse(self, transaction: AccountTransaction, actor: Actor, name: Name, role: Role, now: int) -> None:
        """Raise for what the database does not allow."""
        member = await transaction.fetch_one(
            "SELECT id, account_id, email_key, role, password_hash, mac FROM members WHERE account_id = :account_id AND id = :id",
            {"id": actor.id},
        )
        if member is None or not is_genuine(self._vault, member):
            raise Forbidden("Only a member of this account makes API tokens.")
        errors: dict[str, str] = {}
        if not is_at_most(role, member["role"]):
            errors["role"] = f"A token may not do more than you. Your role is {member['role']}: choose that one or a lesser one."
        active = await transaction.fetch_all(
            "SELECT name_key FROM api_tokens WHERE account_id = :account_id AND member_id = :member_id AND revoked_at IS NULL"
            " AND expires_at > :now",
            {"member_id": actor.id, "now": now},
        )
        if name.key in {row["name_key"] for row in active}:
            errors["name"] = "Another active token of yours has this name. Choose another one, or revoke that token first."
        if len(active) >= MOST_ACTIVE:
            errors[""] = (
                f"You have {len(active)} active tokens, and at most {MOST_ACTIVE} are allowed. Revoke one that nothing uses any more."
            )
        if errors:
            raise Invalid(errors)

    async def _touch(self, caller: ApiCaller, now: int) -> None:
        try:
            async with self._database.account(caller.actor.account_id).transaction() as transaction:
                await transaction.execute(
                    "UPDATE api_tokens SET last_used_at = :now WHERE account_id = :account_id AND id = :id"
                    " AND (last_used_at IS NULL OR last_used_at < :now)",
                    {"now": now, "id": caller.token.id},
                )
        except Unavailable:
            # Whoever only reads shall not suffer from a disk that is full.
            _logger.warning("an API token's last use could not be written")


def _whose(member_id: str | None) -> dict[str, object]:
    return {"member_id": member_id} if member_id else {}


def _token(row: Row) -> ApiToken:
    return ApiToken(**{name: row[name] for name in ApiToken.__dataclass_fields__})
