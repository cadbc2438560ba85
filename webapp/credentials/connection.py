"""Test connection: what becomes of a sign-in with a value, and of the images that are pulled with it, before anything rests on it.

It signs in as a client would, from here: `registry/check.py` is the same code that checks an image before it is provisioned.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from webapp.actor import Actor
from webapp.credentials.credential import Credential, CredentialFields
from webapp.credentials.minting import NotMinted
from webapp.credentials.repository import CredentialRepository, ImageUsing
from webapp.credentials.sign_ins import CHANGED, SignIns
from webapp.errors import Conflict, TooMany
from webapp.reference import Reference
from webapp.registry.check import check_registry
from webapp.registry.dialer import Dialer
from webapp.registry.kinds import Kind, SignIn, Verdict
from webapp.registry.turns import Turns
from webapp.vault import Secret

MOST_TESTED = 100
"""Images of one test."""

MOST_RUNNING = 10
"""Tests of one account that run or wait at the same time: one may take minutes where the registry is slow."""

_FOR_ALL = frozenset({Kind.WRONG_CREDENTIALS, Kind.UNREACHABLE, Kind.TLS})
"""What is so for one image and for all of them alike."""


@dataclass(frozen=True, slots=True)
class Tried:
    """An image, and what became of asking for it; `id` is empty for one that was only typed."""

    id: str
    name: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ConnectionTest:
    """What a test found: of the sign-in, and of each image; `untested` is how many images there were beyond those."""

    host: str
    sign_in: Verdict
    images: tuple[Tried, ...] = ()
    untested: int = 0

    @property
    def works(self) -> bool:
        """Whether the sign-in and every image works, and none was left out."""
        return self.sign_in.works and not self.untested and all(tried.verdict.works for tried in self.images)

    def __str__(self) -> str:
        """For the audit log: the host and the kinds, such as `host ghcr.io; works; 2 of 3 images work`."""
        said = f"host {self.host}; {self.sign_in.kind}"
        if not self.images:
            return said
        working = sum(tried.verdict.works for tried in self.images)
        return f"{said}; {working} of {len(self.images) + self.untested} images work"


class ConnectionTests:
    """Tests of drafts and of stored registry credentials."""

    def __init__(self, credentials: CredentialRepository, sign_ins: SignIns, dialer: Dialer) -> None:
        self._credentials = credentials
        self._sign_ins = sign_ins
        self._dialer = dialer
        self._turns = Turns()
        self._running: Counter[str] = Counter()

    async def test(
        self,
        actor: Actor,
        fields: CredentialFields,
        secret: Secret | None,
        *,
        stored: Credential | None = None,
        image: Reference | None = None,
    ) -> ConnectionTest:
        """Test a draft, or the value that is `stored` where there is no new one; with the images that use it, and with another `image`.

        A stored value goes to the host that it is stored for and to no other: the caller has seen that the host, the method and its
        parameters are the same. Raises NotFound, Unavailable; TooMany where so many tests of the account run already.
        """
        if self._running[actor.account_id] >= MOST_RUNNING:
            raise TooMany("So many tests of this account are running already. Wait until one of them has ended, and try again.", 5)
        self._running[actor.account_id] += 1
        try:
            return await self._test(actor, fields, secret, stored, image)
        finally:
            self._running[actor.account_id] -= 1
            self._running += Counter()  # without those of which none is left

    async def _test(
        self, actor: Actor, fields: CredentialFields, secret: Secret | None, stored: Credential | None, image: Reference | None
    ) -> ConnectionTest:
        images = [] if stored is None else await self._credentials.references_using(actor, stored.id, MOST_TESTED)
        try:
            sign_in = await self._sign_in(actor, fields, secret, stored)
        except NotMinted as problem:
            found = ConnectionTest(fields.host, Verdict(problem.kind, problem.sentence))
        except Conflict as problem:
            if problem.code == CHANGED:
                raise
            # It has expired, or does not open.
            found = ConnectionTest(fields.host, Verdict(Kind.WRONG_CREDENTIALS, str(problem)))
        else:
            extra = [] if image is None else [ImageUsing("", image.familiar, str(image))]
            found = await self._try(actor, fields.host, sign_in, [*extra, *images])
        left = 0 if stored is None or not found.images else stored.images - len(images)
        found = ConnectionTest(found.host, found.sign_in, found.images, max(0, left))
        await self._credentials.note_test(actor, stored, fields, str(found))
        return found

    async def _sign_in(self, actor: Actor, fields: CredentialFields, secret: Secret | None, stored: Credential | None) -> SignIn:
        if secret is not None or stored is None:
            return await self._sign_ins.draft(actor, fields, secret or Secret(b""))
        kept = await self._sign_ins.stored(actor, stored.id, stored.secret_version)
        return SignIn(fields.username, kept.password)  # the user name may be changed without the value

    async def _try(self, actor: Actor, host: str, sign_in: SignIn, images: Sequence[ImageUsing]) -> ConnectionTest:
        async def asked(image: ImageUsing | None = None) -> Verdict:
            try:
                reference = None if image is None else Reference.parse(str(image.reference))
            except ValueError:
                return Verdict(Kind.NO_SUCH_IMAGE, "What is stored as its reference is none. Enter it again on the image's page.")
            async with self._turns.of(actor.account_id):
                return await check_registry(self._dialer, host, sign_in, reference)

        signed_in = await asked()
        if signed_in.kind in _FOR_ALL:
            return ConnectionTest(host, signed_in)
        async with asyncio.TaskGroup() as group:  # and none goes on where this one is left
            tasks = [group.create_task(asked(image)) for image in images]
        tried = [Tried(image.id, image.name, task.result()) for image, task in zip(images, tasks, strict=True)]
        return ConnectionTest(host, signed_in, tuple(tried))
