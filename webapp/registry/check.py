"""Whether a credential signs in at a registry, and pulls an image from it: asked as a client would ask, and told apart by what is answered.

A registry that hides what one may not see answers alike for what is missing and for what is forbidden. So a refusal is compared with a
control: a repository beside it, under a name that nobody has. Where that one is said to be missing, this one is forbidden; where both are
refused, the registry does not say which. That is how the known ones behave:

- Docker Hub, Quay: a token without the right to pull, and 401 with it, for both.
- GHCR, GitLab: the realm refuses (403) for both; GitLab says 404 for what is missing in a project that one may see.
- Harbor, Artifact Registry, ACR: 401 or 403 in a project that one may not see; 404 in one that one may.
- Amazon ECR: 404 for a repository that is missing, 403 where a policy is against it.
- registries with Basic alone have no rights of each repository: 404 is 404.
"""

import asyncio
import re
import secrets

from webapp.reference import Reference
from webapp.registry.client import REFUSALS, Client, NotTaken, Refused, error_codes, odd, unreachable
from webapp.registry.dialer import Dialer, NotReached
from webapp.registry.exchange import Answer
from webapp.registry.kinds import Kind, SignIn, Verdict

SECONDS = 15.0
"""For all questions together."""

_MISSING = {"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "NOT_FOUND", "NAME_INVALID", "MANIFEST_INVALID", "TAG_INVALID", "BLOB_UNKNOWN"}
_DENIED = {"DENIED", "UNAUTHORIZED"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}", re.ASCII)


async def check_registry(dialer: Dialer, host: str, sign_in: SignIn | None, reference: Reference | None = None) -> Verdict:
    """Sign in at the registry of `host`, and ask for the manifest of `reference`, whose host that is; without `sign_in` as everybody.

    Raises nothing for what a registry or the network does: that is what the verdict is for.
    """
    try:
        async with asyncio.timeout(SECONDS):
            return await _checked(Client(dialer, host, sign_in), host, sign_in, reference)
    except NotReached as problem:
        return Verdict(problem.kind, problem.sentence)
    except NotTaken:
        return _not_taken(host)
    except TimeoutError:
        return Verdict(Kind.UNREACHABLE, f"{host} took more than {SECONDS:g} s to answer. Try again later.")


async def _checked(client: Client, host: str, sign_in: SignIn | None, reference: Reference | None) -> Verdict:
    is_open = await client.greet()
    if sign_in is not None and not await _enters(client):
        return _not_taken(host)
    if reference is not None:
        return await _pulled(client, host, sign_in, reference, is_open=is_open)
    if sign_in is None:
        return Verdict(Kind.WORKS, f"{host} answers as a registry does.")
    without = " It answers without a sign-in, too, so this says little about the password." if is_open else ""
    return Verdict(Kind.WORKS, f"{host} takes this user name and password.{without}")


def _not_taken(host: str) -> Verdict:
    return Verdict(
        Kind.WRONG_CREDENTIALS,
        f"{host} does not take this user name and password. Check both; a token may have expired, been revoked, or lack the right to read.",
    )


async def _enters(client: Client) -> bool:
    try:
        return await client.enter()
    except Refused:
        return False


async def _pulled(client: Client, host: str, sign_in: SignIn | None, reference: Reference, *, is_open: bool) -> Verdict:
    wanted = reference.digest or reference.tag or "latest"
    found = await _asked(client, reference.repository, wanted)
    named = f"{host}/{reference.repository}"
    if isinstance(found, Answer):
        digest = reference.digest or _digest_in(found)
        who = "Everybody" if sign_in is None else "This credential"
        without = " The registry answers without a sign-in, too." if sign_in is not None and is_open else ""
        unnamed = "" if digest else " The registry names no digest of it, so that it cannot be pinned."
        return Verdict(Kind.WORKS, f"{who} may pull {named}{f':{reference.tag}' if reference.tag else ''}.{without}{unnamed}", digest)
    if found is Kind.NO_SUCH_IMAGE:
        what = f"digest {wanted}" if reference.digest else f"tag {wanted}"
        seen = "" if sign_in is None else " that this credential may see"
        return Verdict(found, f"{named} has no {what}, or there is no such repository{seen}. Check the Docker Image URL.")
    try:
        control: Answer | Kind = await _asked(client, _beside(reference.repository), "latest")
    except NotReached:
        control = found  # so that it is not known
    if control is found:
        whose = "not everybody may" if sign_in is None else "this credential may not"
        return Verdict(
            Kind.MISSING_OR_NO_ACCESS,
            f"{named} does not exist, or {whose} pull it: {host} answers alike for both. Check how it is spelt, and whether"
            f" {'it is public' if sign_in is None else 'the user may read it'}.",
        )
    if found is Kind.MISSING_OR_NO_ACCESS:  # missing in silence, where others are refused: this one can be seen
        return Verdict(Kind.NO_SUCH_IMAGE, f"There is no {named}:{wanted}. Check the Docker Image URL, and that it was pushed.")
    if sign_in is None:
        return Verdict(Kind.MAY_NOT_PULL, f"{named} is not public. Choose a registry credential for it in Docker Registry Auth.")
    return Verdict(
        Kind.MAY_NOT_PULL,
        f"{host} takes this user name and password, but does not let them pull {reference.repository}. Give the user, or the token, the"
        " right to read this repository.",
    )


async def _asked(client: Client, repository: str, tag_or_digest: str) -> Answer | Kind:
    """The manifest's answer; or NO_SUCH_IMAGE, MAY_NOT_PULL for a refusal, MISSING_OR_NO_ACCESS for a 404 that gives no reason."""
    try:
        answer = await client.manifest("HEAD", repository, tag_or_digest)
        if answer.status == 404:  # an answer to HEAD has no body, and so no reason
            answer = await client.manifest("GET", repository, tag_or_digest)
    except Refused:
        return Kind.MAY_NOT_PULL
    if answer.status == 200:
        if (answer.header("content-type") or "").lower().startswith("text/html"):
            raise unreachable(f"{client.host}, asked for a manifest, answers with a web page. Check the host and its port.")
        return answer
    if answer.status in REFUSALS:
        return Kind.MAY_NOT_PULL
    if answer.status == 404:
        codes = error_codes(answer.body)
        if codes & _DENIED:
            return Kind.MAY_NOT_PULL
        return Kind.NO_SUCH_IMAGE if codes & _MISSING else Kind.MISSING_OR_NO_ACCESS
    raise odd(f"{client.host}, asked for a manifest,", answer.status)


def _beside(repository: str) -> str:
    """A repository in the same namespace that nobody has made."""
    namespace, slash, _ = repository.rpartition("/")
    return f"{namespace}{slash}no-such-{secrets.token_hex(8)}"


def _digest_in(answer: Answer) -> str | None:
    digest = answer.header("docker-content-digest") or ""
    return digest if _DIGEST.fullmatch(digest) else None
