"""An OpenID Connect issuer, as this server asks it: where a browser goes to sign in, and who came back.

The source of the rules is OpenID Connect Core 1.0, section 3.1 ("Core" below).
Nothing is asked before the first person wants to sign in, and nothing of what the issuer says is shown to anybody.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from webapp.accounts.identity import Person, person_of
from webapp.accounts.oidc_metadata import WELL_KNOWN, Metadata, parse_metadata
from webapp.accounts.oidc_secrets import Secrets
from webapp.clock import HOUR, SECOND, Clock
from webapp.errors import ConfigurationError, Unavailable
from webapp.log import get_logger
from webapp.oidc_settings import OidcSettings

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

T = TypeVar("T")

MAX_AGE = 300
"""Seconds: how long ago somebody may have signed in at the issuer to show here again who they are."""

CALLBACK = "/login/oidc/callback"

_KEPT = HOUR
_PAUSE = 5 * SECOND
"""How long a failure is remembered, and how often at most keys that are not known are looked for: strangers can cause both."""
_AT_ONCE = 16

_OUR_MISTAKES = frozenset({"invalid_request", "unauthorized_client", "unsupported_response_type", "invalid_scope", "request_not_supported"})

_logger = get_logger(__name__)


class NotProven(Exception):
    """The issuer's answer does not prove who somebody is. `sentence` may be shown."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(slots=True)
class _Kept:
    """The last answer to a question, and when it came; or the last failure."""

    value: Any = None
    at: int = 0
    failure: str = ""
    failed_at: int = 0
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_younger(self, most_age: int, now: int) -> bool:
        return self.value is not None and 0 <= now - self.at < most_age


class Provider:
    """The issuer of an installation, with what it has said of itself in the last hour."""

    def __init__(self, oidc: OidcSettings, public_url: str, clock: Clock) -> None:
        self.oidc = oidc
        self._redirect_uri = public_url + CALLBACK
        self._clock = clock
        self._trust = None if oidc.ca_file is None else _trust(oidc)
        self._metadata, self._keys = _Kept(), _Kept()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def name(self) -> str:
        """What people know it by."""
        return self.oidc.name

    async def authorization_url(self, state: str, secrets: Secrets, *, again: bool = False) -> str:
        """Where the browser is sent; `again`: whoever signed in there more than `MAX_AGE` ago is asked again. Raises Unavailable."""
        metadata = await self._known()
        from webapp.accounts import oidc_http as http  # noqa: PLC0415  see _imported

        parameters = {"redirect_uri": self._redirect_uri, "nonce": secrets.nonce, "code_verifier": secrets.verifier, "state": state}
        if again:
            parameters["max_age"] = str(MAX_AGE)
        return http.authorization_url(self.oidc, metadata.authorization_endpoint, **parameters)

    async def check_sender(self, unverified_issuer: str | None) -> None:
        """See that the answer is this issuer's (RFC 9207, section 2.4). Raises NotProven, Unavailable."""
        if unverified_issuer is None and not (await self._known()).names_itself:
            return
        if unverified_issuer != self.oidc.issuer:
            raise self._not_proven("the answer is of another issuer (iss), or does not say of which")

    def refusal(self, unverified_error: str) -> str:
        """What an error says that came back in place of a code (RFC 6749, section 4.1.2.1; Core, section 3.1.2.6)."""
        if unverified_error == "access_denied":
            return f"You cancelled at {self.name}, or it does not let you sign in here."
        if unverified_error in {"login_required", "interaction_required", "account_selection_required", "consent_required"}:
            return f"{self.name} wants you to do something there first. Sign in there, and begin again."
        if unverified_error in {"server_error", "temporarily_unavailable"}:
            return f"{self.name} cannot do it just now. Begin again in a minute."
        known = unverified_error if unverified_error in _OUR_MISTAKES else "an error that is none of OAuth's"
        _logger.warning("the issuer refuses what this server asks of it", issuer=self.oidc.issuer, why=known)
        return f"{self.name} does not take what this server asks of it ({known}). Tell whoever runs this server."

    async def person(self, unverified_code: str, secrets: Secrets, *, again: bool = False) -> Person:
        """Who has signed in there, for a code that came back. Raises NotProven, Unavailable."""
        metadata = await self._known()
        from webapp.accounts import oidc_http as http  # noqa: PLC0415  see _imported

        async with self._turns:
            try:
                answer = await http.exchange_code(
                    self.oidc,
                    await self._trusted(),
                    metadata.token_endpoint,
                    metadata.auth_method,
                    code=unverified_code,
                    verifier=secrets.verifier,
                    redirect_uri=self._redirect_uri,
                )
            except http.NotAnswered as error:
                raise self._down(f"the token endpoint: {error.why}") from None
            except http.CodeRefused as error:
                if error.code in {"invalid_client", "unauthorized_client"}:
                    raise self._down(
                        f"the token endpoint refuses this server ({error.code}); look at WEBAPP_OIDC_CLIENT_ID and its secret"
                    ) from None
                raise self._not_proven(f"the code is not taken ({error.code or 'no reason'})") from None
        claims = await self._claims(answer, metadata, secrets)
        if again:
            self._check_age(claims)
        elif "email" not in claims and metadata.userinfo_endpoint:
            claims = {**claims, **await self._address(answer, metadata, claims)}
        try:
            return person_of(claims, self.oidc.issuer)
        except ValueError as error:
            raise self._not_proven(f"the ID token is not right: {error}") from None

    async def _claims(self, answer: Mapping[str, Any], metadata: Metadata, secrets: Secrets) -> Mapping[str, Any]:
        from webapp.accounts import oidc_token as token  # noqa: PLC0415  see _imported

        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str):
            raise self._not_proven("there is no ID token in the answer")

        def claims_with(keys: "KeySet") -> Mapping[str, Any]:
            return token.claims_of(
                id_token,
                keys,
                algorithms=metadata.algorithms,
                issuer=self.oidc.issuer,
                client_id=self.oidc.client_id,
                nonce=secrets.nonce,
                access_token=access_token if isinstance(access_token, str) else None,
                now=self._clock() // 1000,
            )

        try:
            try:
                return claims_with(await self._keys_of(metadata))
            except token.UnknownKey:  # it may have new ones
                return claims_with(await self._keys_of(metadata, newer=True))
        except token.NotToken as error:
            raise self._not_proven(f"the ID token is not right: {error.why}") from None

    async def _address(self, answer: Mapping[str, Any], metadata: Metadata, claims: Mapping[str, Any]) -> Mapping[str, Any]:
        """The address as UserInfo has it, for issuers that keep it out of the ID token (Core, section 5.4); {} when it cannot be had."""
        from webapp.accounts import oidc_http as http  # noqa: PLC0415  see _imported

        try:
            found = await http.fetch_document(await self._trusted(), metadata.userinfo_endpoint, bearer=str(answer.get("access_token")))
        except http.NotAnswered as error:
            _logger.warning("the issuer does not say what somebody's address is", issuer=self.oidc.issuer, why=error.why)
            return {}
        if found.get("sub") != claims["sub"]:  # section 5.3.2: it could be about anybody
            _logger.warning("the issuer says somebody else's address", issuer=self.oidc.issuer)
            return {}
        return {name: found[name] for name in ("email", "email_verified") if name in found}

    def _check_age(self, claims: Mapping[str, Any]) -> None:
        """Core, section 3.1.3.7, rule 13."""
        at, now, leeway = claims.get("auth_time"), self._clock() // 1000, 60
        if isinstance(at, bool) or not isinstance(at, int | float):
            raise self._not_proven(
                "the ID token does not say when (auth_time)", f"{self.name} does not say when you signed in there, so it does not count."
            )
        if not now - MAX_AGE - leeway <= at <= now + leeway:
            raise self._not_proven(
                "the sign-in there is too old (auth_time)",
                f"You signed in at {self.name} more than {MAX_AGE // 60} minutes ago, and it did not ask again. Sign out there first.",
            )

    async def _known(self) -> Metadata:
        async def fetch() -> Metadata:
            await _imported()
            from webapp.accounts import oidc_http as http  # noqa: PLC0415  see _imported

            try:
                document = await http.fetch_document(await self._trusted(), self.oidc.issuer.rstrip("/") + WELL_KNOWN)
                return parse_metadata(document, self.oidc)
            except http.NotAnswered as error:
                raise _Failed(f"what it says of itself: {error.why}") from None
            except ValueError as error:
                raise _Failed(f"what it says of itself: {error}") from None

        return await self._fetched(self._metadata, fetch, _KEPT)

    async def _keys_of(self, metadata: Metadata, *, newer: bool = False) -> "KeySet":
        async def fetch() -> "KeySet":
            from webapp.accounts import oidc_http as http  # noqa: PLC0415  see _imported
            from webapp.accounts import oidc_token as token  # noqa: PLC0415  see _imported

            try:
                return token.keys_of(await http.fetch_document(await self._trusted(), metadata.jwks_uri))
            except http.NotAnswered as error:
                raise _Failed(f"its keys: {error.why}") from None
            except token.NotToken as error:
                raise _Failed(f"its keys: {error.why}") from None

        return await self._fetched(self._keys, fetch, _PAUSE if newer else _KEPT)

    async def _fetched(self, kept: _Kept, fetch: Callable[[], Awaitable[T]], most_age: int) -> T:
        """What is kept, if it is younger than that, or else what the issuer answers now; it is asked by one at a time."""
        if not kept.is_younger(most_age, self._clock()):
            async with kept.asking:
                now = self._clock()
                if not kept.is_younger(most_age, now):  # another one may just have asked
                    if kept.failure and 0 <= now - kept.failed_at < _PAUSE:
                        raise self._unavailable()
                    try:
                        kept.value = await fetch()
                    except _Failed as error:
                        kept.failure, kept.failed_at = error.why, now
                        raise self._down(error.why) from None
                    kept.at, kept.failure = now, ""
        value: T = kept.value
        return value

    async def _trusted(self) -> ssl.SSLContext:
        if self._trust is None:
            self._trust = await asyncio.to_thread(_trust, self.oidc)  # the system's certificates take a while to read
        return self._trust

    def _not_proven(self, why: str, sentence: str = "") -> NotProven:
        _logger.warning("a sign-in with the issuer was refused", issuer=self.oidc.issuer, why=why)
        return NotProven(sentence or f"What {self.name} answered does not prove who you are: {why}. Try again.")

    def _down(self, why: str) -> Unavailable:
        _logger.warning("nobody can sign in with the issuer now", issuer=self.oidc.issuer, why=why)
        return self._unavailable()

    def _unavailable(self) -> Unavailable:
        return Unavailable(
            f"{self.name} cannot be asked just now who you are. Try again in a minute, or sign in another way. If it stays so, whoever runs"
            " this server finds the reason in its log.",
            "issuer-unavailable",
            _PAUSE // SECOND,
        )


class _Failed(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


async def _imported() -> None:
    """Import what takes a while to: a server without an issuer never does, and the event loop does not wait for it."""

    def load() -> None:
        from webapp.accounts import oidc_http, oidc_token  # noqa: F401, PLC0415

    await asyncio.to_thread(load)


def _trust(oidc: OidcSettings) -> ssl.SSLContext:
    try:
        trust = ssl.create_default_context(cafile=oidc.ca_file)
    except OSError:  # SSLError is one
        raise ConfigurationError(f"WEBAPP_OIDC_CA_FILE: {oidc.ca_file} holds no certificates in PEM.") from None
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    return trust
