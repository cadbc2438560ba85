"""What signs in at a credential's registry, as an agent would be handed it: the value itself, or a token that is minted with it."""

from typing import TYPE_CHECKING

from webapp.actor import Actor
from webapp.chain import AuditChain
from webapp.clock import Clock, in_words
from webapp.credentials.aws_ecr import AwsEcr
from webapp.credentials.credential import ECR_USERNAME, GCP_TOKEN_USERNAME, AuthMethod, CredentialFields, seal_context
from webapp.credentials.minted_tokens import MintedTokens
from webapp.credentials.minting import Mint, Source, Token
from webapp.credentials.parameters import mints
from webapp.database import Database
from webapp.errors import Conflict, NotFound
from webapp.registry.dialer import Dialer
from webapp.registry.kinds import SignIn
from webapp.registry.turns import Turns
from webapp.vault import SealBroken, Secret, Vault

if TYPE_CHECKING:
    from webapp.settings import Settings

_STORED = (
    "SELECT id, name, host, auth_method, username, parameters, secret_version, sealed, expires_at FROM registry_credentials"
    " WHERE account_id = :account_id AND id = :id"
)

_MINTED_AT_ONCE = 2
"""Tokens of one account that are minted at the same time: there are few threads for it, and machines of other accounts wait for theirs."""

CHANGED = "changed-meanwhile"
"""The Conflict of a credential that has another value by now."""


class SignIns:
    """The sign-ins of stored credentials, and of drafts."""

    def __init__(self, database: Database, vault: Vault, chain: AuditChain, clock: Clock, mint: Mint) -> None:
        self._database, self._vault, self._clock, self._mint = database, vault, clock, mint
        self.tokens = MintedTokens(database, vault, chain, clock, mint)

    async def stored(self, actor: Actor, credential_id: str, secret_version: int | None) -> SignIn:
        """What agents are handed of this credential, while its value is of this version: another one may be for another host.

        Raises NotFound; Conflict when it has another value by now, or one that does not open or has expired; NotMinted; Unavailable.
        """
        row = await self._database.account(actor.account_id).fetch_one(_STORED, {"id": credential_id})
        if row is None:
            raise NotFound("There is no such registry credential in this account.")
        name = str(row["name"])
        if row["secret_version"] != secret_version:
            raise Conflict(f"The value of {name} was replaced just now. Try again.", CHANGED)
        refuse_expired(name, row["expires_at"], self._clock())
        source = Source(actor.account_id, row["id"], row["secret_version"], row["host"], row["auth_method"], row["parameters"])
        try:
            if mints(source.auth_method, source.parameters):
                minted = await self.tokens.get(source, row["sealed"])
                return SignIn(token_username(source.auth_method), self.tokens.open(minted))
            context = seal_context(actor.account_id, row["id"], row["secret_version"], row["host"], row["auth_method"], row["parameters"])
            return SignIn(row["username"], await self._vault.opened(row["sealed"], context))
        except SealBroken as error:
            broken = Conflict(f"The value of {name} does not open ({error}). Enter it again.", "does-not-open")
        raise broken

    async def draft(self, actor: Actor, fields: CredentialFields, secret: Secret) -> SignIn:
        """What agents would be handed of a credential that is not stored: a token is minted for it, and not kept. Raises NotMinted."""
        if not mints(fields.auth_method, fields.parameters):
            return SignIn(fields.username, secret)
        source = Source(actor.account_id, "", 0, fields.host, fields.auth_method, fields.parameters)
        token = await self._mint(source, secret)
        return SignIn(token_username(fields.auth_method), token.value)

    async def close(self) -> None:
        """End what runs."""
        await self.tokens.close()


def minter(settings: "Settings", clock: Clock) -> Mint:
    """What mints tokens in this installation, for every method that has any."""
    ecr = AwsEcr.of(settings)
    google: list[Mint] = []
    turns = Turns(_MINTED_AT_ONCE)

    async def mint(source: Source, value: Secret) -> Token:
        async with turns.of(source.account_id):
            return await _minted(source, value)

    async def _minted(source: Source, value: Secret) -> Token:
        if source.auth_method == AuthMethod.AWS_ECR:
            return await ecr.mint(source, value)
        if not google:
            from webapp.credentials.google_tokens import GOOGLE, GoogleTokens  # noqa: PLC0415  0.2 s, for those who need it

            google.append(GoogleTokens(Dialer.of(settings), clock, settings.google_token_endpoint or GOOGLE).mint)
        return await google[0](source, value)

    return mint


def token_username(auth_method: str) -> str:
    """The fixed user name that goes with a token of this method: the column beside it is not asked."""
    return ECR_USERNAME if auth_method == AuthMethod.AWS_ECR else GCP_TOKEN_USERNAME


def refuse_expired(name: str, expires_at: object, now: int) -> None:
    """Raise Conflict for a credential whose time is over (Unix ms); None is for one that does not expire."""
    if expires_at is None:
        return
    at = expires_at if isinstance(expires_at, int) else 0  # SQLite keeps anything in any column
    if at <= now:
        raise Conflict(f"The registry credential {name} expired on {in_words(at)}. Enter a new value on its page.", "credential-expired")
