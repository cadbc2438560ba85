"""A registry as its clients see it: signing in and asking for a manifest, with nothing sent to anybody but the registry and its realm.

Sources: the OCI distribution specification (https://github.com/opencontainers/distribution-spec/blob/main/spec.md), the token
specification (https://distribution.github.io/distribution/spec/auth/token/), RFC 7617 for Basic.
"""

import base64
import json
import re
from urllib.parse import quote, urlencode

from webapp.registry.challenges import Challenge, parse_challenges
from webapp.registry.dialer import Dialer, NotReached, origin_in
from webapp.registry.exchange import Answer
from webapp.registry.kinds import Kind, SignIn
from webapp.vault import Secret

MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json,"
    " application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)

REFUSALS = (401, 403)
_BEARER_TOKEN = re.compile(r"[!-~]{1,16384}", re.ASCII)


class Refused(Exception):
    """The realm gives no token for this: it answered with 401 or 403."""


class NotTaken(Exception):
    """The user name and the password are not taken at all, as only a realm further in could tell."""


class Client:
    """Asks one registry. `sign_in` is None for one who has no credential.

    Its methods raise NotReached for whatever is no answer of a registry, Refused where the realm refuses, and `manifest` also NotTaken.
    """

    def __init__(self, dialer: Dialer, host: str, sign_in: SignIn | None) -> None:
        self._dialer = dialer
        self.host = host
        self._sign_in = sign_in
        self._origin = dialer.origin(host)
        self._bearer: Challenge | None = None

    async def greet(self) -> bool:
        """Ask who may come in, as nobody. Returns whether everybody may; else it is known how to sign in."""
        answer = await self._dialer.ask("GET", f"{self._origin}/v2/")
        if answer.status == 200:
            return True
        if answer.status != 401:
            raise odd(self.host, answer.status)
        challenges = parse_challenges(answer.header("www-authenticate") or "")
        # Bearer first, where there are both: only that gives a token for one repository.
        self._bearer = next((challenge for challenge in challenges if challenge.scheme == "bearer"), None)
        if self._bearer is None and not any(challenge.scheme == "basic" for challenge in challenges):
            raise unreachable(f"{self.host} asks for a sign-in that is neither Basic nor Bearer. Check the host and its port.")
        return False

    async def enter(self) -> bool:
        """Sign in, for no repository, as `docker login` does. Returns whether the registry takes what we have."""
        authorization = await self._authorization(None)
        answer = await self._dialer.ask("GET", f"{self._origin}/v2/", headers=authorization)
        if answer.status == 200:
            return True
        # 400 is what Amazon ECR says to a token that is none, and what it does not say to nobody.
        if answer.status in {*REFUSALS, 400}:
            return False
        raise odd(self.host, answer.status)

    async def manifest(self, method: str, repository: str, tag_or_digest: str) -> Answer:
        """Ask for a manifest, with the right to pull from its repository only."""
        url = f"{self._origin}/v2/{quote(repository)}/manifests/{quote(tag_or_digest, safe=':')}"
        answer = await self._dialer.ask(method, url, headers={"Accept": MANIFESTS, **await self._authorization(repository)})
        if answer.status == 401 and self._bearer is None:
            # Open at its door, and here it asks after all.
            challenges = parse_challenges(answer.header("www-authenticate") or "")
            self._bearer = next((challenge for challenge in challenges if challenge.scheme == "bearer"), None)
            if self._bearer is not None:
                await self._introduce(self._bearer)
                answer = await self._dialer.ask(method, url, headers={"Accept": MANIFESTS, **await self._authorization(repository)})
        return answer

    async def _introduce(self, challenge: Challenge) -> None:
        """Sign in for no repository where nobody asked at the door, so that a wrong password is told from a right that is missing."""
        if self._sign_in is None:
            return
        try:
            await self._token(challenge, None)
        except Refused:
            raise NotTaken from None

    async def _authorization(self, repository: str | None) -> dict[str, str]:
        if self._bearer is not None:
            token = await self._token(self._bearer, repository)
            return {"Authorization": "Bearer " + token.reveal().decode("ascii")}
        return {} if self._sign_in is None else {"Authorization": _basic(self._sign_in)}

    async def _token(self, challenge: Challenge, repository: str | None) -> Secret:
        realm = challenge.parameters.get("realm", "")
        origin = origin_in(realm)
        if origin is None:
            raise unreachable(
                f"{self.host} sends its clients for signing in to what is no plain https:// address, so that nothing was sent."
                " Check that it is the registry's host."
            )
        if not self._dialer.may_sign_in_at(self.host, origin):
            named = origin.shown if origin.scheme == "https" else str(origin)
            raise unreachable(
                f"{self.host} sends its clients for signing in to {named}, another host, so that nothing was sent there. If that is"
                f" right, whoever runs this server adds {self.host}={named} to WEBAPP_ALLOWED_REALMS."
            )
        asked = {}
        if "service" in challenge.parameters:
            asked["service"] = challenge.parameters["service"]
        if repository is not None:
            asked["scope"] = f"repository:{repository}:pull"
        headers = {}
        if self._sign_in is not None:
            asked["account"] = self._sign_in.username  # as docker and skopeo do
            headers["Authorization"] = _basic(self._sign_in)
        url = realm + (("&" if "?" in realm else "?") + urlencode(asked) if asked else "")
        answer = await self._dialer.ask("GET", url, headers=headers, realm_of=self.host)
        if answer.status in REFUSALS:
            raise Refused
        if answer.status != 200:
            raise odd(origin.shown, answer.status)
        return _token_in(answer.body, origin.shown)


def odd(host: str, status: int) -> NotReached:
    """What to say of a status that is no answer to what was asked."""
    if 300 <= status < 400:
        return unreachable(f"{host} answers with a redirect ({status}), which is not followed. Enter the host that it leads to.")
    if status == 429:
        return unreachable(f"{host} takes no more requests for now (429). Try again later.")
    if status >= 500:
        return unreachable(f"{host} cannot answer now ({status}). Try again later.")
    if status == 403:
        return unreachable(f"{host} refuses this server before any sign-in (403). Check the host, and whom it lets in from where.")
    return unreachable(f"{host} does not answer as a registry does ({status}). Check the host and its port.")


def unreachable(sentence: str) -> NotReached:
    """Not reached as a registry, in a sentence."""
    return NotReached(Kind.UNREACHABLE, sentence)


def error_codes(body: bytes) -> set[str]:
    """The codes of a registry's error document (distribution specification, "Error Codes"): to compare with, never to show."""
    document = _document(body)
    errors = document.get("errors")
    codes = [error.get("code") for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    return {code.upper() for code in codes if isinstance(code, str)}


def _token_in(body: bytes, realm: str) -> Secret:
    document = _document(body)
    token = document.get("token") or document.get("access_token")
    if not isinstance(token, str) or not _BEARER_TOKEN.fullmatch(token):
        raise unreachable(f"{realm} answers a sign-in with no token. Check that it is where the registry's clients sign in.")
    return Secret(token.encode("ascii"))


def _document(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _basic(sign_in: SignIn) -> str:
    return "Basic " + base64.b64encode(sign_in.username.encode() + b":" + sign_in.password.reveal()).decode("ascii")
