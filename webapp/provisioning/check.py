"""The check before a provision: whether an agent can expect to pull its image, found out at the registry, with nothing handed to anybody.

It signs in as an agent would and asks for the manifest. However many ask at once, the registry is asked once; agents are served what was
found for half a minute.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import SECOND, Clock
from webapp.credentials.minting import NotMinted
from webapp.credentials.repository import CredentialRepository
from webapp.credentials.sign_ins import SignIns, refuse_expired
from webapp.database import Batch, Database
from webapp.errors import Conflict, NotFound
from webapp.images.pinning import pin_event
from webapp.images.repository import ImageRepository
from webapp.provisioning.intended import Intended, refuse_image
from webapp.provisioning.provision import NotHandedOver, Parts
from webapp.provisioning.pulls import FIRST_ROW
from webapp.reference import Reference, same_registry
from webapp.registry.check import check_registry
from webapp.registry.dialer import Dialer
from webapp.registry.kinds import SignIn, Verdict
from webapp.registry.outcomes import Checked
from webapp.registry.turns import Turns
from webapp.vault import Token

FRESH = 30 * SECOND
"""How long agents are served what a check has found."""

MOST = 10_000
"""Checks whose results are kept; the oldest one goes first."""

_NOTED = (
    "UPDATE image_activity SET checked_at = :at, checked_reference = :reference, check_kind = :kind, check_sentence = :sentence,"
    " check_digest = :digest WHERE account_id = :account_id AND image_id = :id"
)
_PIN = "UPDATE images SET pinned_digest = :digest WHERE account_id = :account_id AND id = :id AND reference = :reference AND pin_digest = 1"
_FIRST_PIN = f"{_PIN} AND pinned_digest IS NULL RETURNING id"
_OTHER_PIN = f"{_PIN} AND (pinned_digest IS NULL OR pinned_digest <> :digest) RETURNING id"


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked: an image's reference, with the value of this version of a credential, or anonymously."""

    account_id: str
    image_id: str
    image_name: str
    reference: str
    credential_id: str | None = None
    credential_name: str = ""
    secret_version: int | None = None
    username: str = ""

    @property
    def signs_in(self) -> str:
        """As whom the registry is asked, for the audit row."""
        return "anonymously" if self.credential_id is None else f"signed in with {self.credential_name}"


@dataclass(frozen=True, slots=True)
class CheckParts:
    """What a check is made with."""

    provisioning: Parts
    database: Database
    images: ImageRepository
    credentials: CredentialRepository
    sign_ins: SignIns
    dialer: Dialer


class Checks:
    """The checks of a server: those that run, and what the last ones found."""

    def __init__(self, parts: CheckParts) -> None:
        self._parts = parts
        self._chain: AuditChain = parts.provisioning.chain
        self._clock: Clock = parts.provisioning.clock
        self._turns = Turns()
        self._running: dict[Subject, asyncio.Task[Checked]] = {}
        self._found: dict[Subject, Checked] = {}

    async def for_member(self, actor: Actor, image_id: str) -> Checked:
        """Check an image of the account, or an official one, as it stands; the digest that is found is pinned where the image says so.

        Raises NotFound; Conflict when its credential does not fit or cannot sign in as it is stored; Unavailable.
        """
        image = await self._parts.images.get(actor, image_id)
        subject = Subject(actor.account_id, image.id, image.name, image.reference)
        if image.credential_id is not None:
            try:
                credential = await self._parts.credentials.get(actor, image.credential_id)
            except NotFound:
                raise Conflict(f"The registry credential of the image {image.name} is missing. Choose one.", "no-credential") from None
            subject = replace(
                subject,
                credential_id=credential.id,
                credential_name=credential.name,
                secret_version=credential.secret_version,
                username=credential.username,
            )
        checked = await self._ask(actor, subject)
        await self._write_down(actor, subject, checked, pin=_OTHER_PIN if image.pin_digest else "")
        return checked

    async def for_agent(self, token: Token, address: str | None, request_id: str | None) -> tuple[Subject, Checked]:
        """Check what the agent with this token would be handed; a digest is pinned where the image says so and has none yet.

        Raises UnknownToken, RefusedToken; NotHandedOver when there would be nothing to hand over; Unavailable.
        """
        known = []

        def look(batch: Batch) -> None:
            known.append(self._parts.provisioning.provisions.known(batch, token).intended)

        await self._parts.provisioning.provisions.submit(token, look)
        intended = known[0]
        now = self._clock()
        self._parts.provisioning.activity.seen(intended, now)
        agent = Actor(intended.account_id, "agent", intended.agent_id, intended.agent_name, token.accessor, address, request_id)
        with _refusals_are_the_agents(agent):
            refuse_expired(intended.credential_name, intended.expires_at, now)
            refuse_image(intended)
            subject = _subject(intended)
            checked = self._found.get(subject)
            if checked is None or not 0 <= now - checked.at < FRESH:  # the former where a clock was set back
                checked = await self._ask(agent, subject)
        await self._write_down(agent, subject, checked, pin=_FIRST_PIN if intended.pin_digest and intended.pinned_digest is None else "")
        return subject, checked

    async def close(self) -> None:
        """End the checks that run."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _ask(self, actor: Actor, subject: Subject) -> Checked:
        """Ask the registry, together with whoever asks the same just now; the check goes on when one of them leaves."""
        task = self._running.get(subject)
        if task is None:
            task = self._running[subject] = asyncio.create_task(self._check(actor, subject))
            task.add_done_callback(lambda ended: self._ended(subject, ended))
        return await asyncio.shield(task)

    def _ended(self, subject: Subject, task: asyncio.Task[Checked]) -> None:
        self._running.pop(subject, None)
        if task.cancelled() or task.exception() is not None:  # asked for here, too: perhaps nobody waits any more
            return
        self._found.pop(subject, None)
        self._found[subject] = task.result()
        while len(self._found) > MOST:
            del self._found[next(iter(self._found))]

    async def _check(self, actor: Actor, subject: Subject) -> Checked:
        reference = _parsed(subject)
        try:
            sign_in = await self._sign_in(actor, subject, reference)
        except NotMinted as error:
            verdict = Verdict(error.kind, error.sentence)
        else:
            async with self._turns.of(subject.account_id):
                verdict = await check_registry(self._parts.dialer, reference.host, sign_in, reference)
        checked = Checked(self._clock(), subject.reference, verdict.kind, verdict.sentence, verdict.digest if verdict.works else None)
        values = {"id": subject.image_id, "at": checked.at, "reference": checked.reference, "kind": str(checked.kind)}
        async with self._parts.database.account(subject.account_id).transaction() as transaction:
            await transaction.execute(FIRST_ROW, {"id": subject.image_id})
            await transaction.execute(_NOTED, {**values, "sentence": checked.sentence, "digest": checked.digest})
        return checked

    async def _sign_in(self, actor: Actor, subject: Subject, reference: Reference) -> SignIn | None:
        """What signs in. It goes to no registry but its own, so that is looked at once it is in the hand, and not only before."""
        if subject.credential_id is None:
            return None
        try:
            sign_in = await self._parts.sign_ins.stored(actor, subject.credential_id, subject.secret_version)
            credential = await self._parts.credentials.get(actor, subject.credential_id)
        except NotFound:
            raise Conflict(f"{subject.credential_name} was deleted just now. Check again.", "changed-meanwhile") from None
        if not same_registry(credential.host, reference.host):
            raise Conflict(
                f"The image {subject.image_name} is at {reference.host}, and its registry credential is for {credential.host}."
                " Choose a credential of the image's own host.",
                "host-mismatch",
            )
        if credential.secret_version != subject.secret_version:
            raise Conflict(f"The value of {credential.name} was replaced just now. Check again.", "changed-meanwhile")
        return sign_in

    async def _write_down(self, actor: Actor, subject: Subject, checked: Checked, *, pin: str) -> None:
        detail = f"{checked.kind}: {subject.reference}" + (f" {checked.digest}" if checked.digest else "") + f", {subject.signs_in}"
        event = Event(
            "image.check", "image", subject.image_id, subject.image_name, secret_version=subject.secret_version, detail=detail[:500]
        )
        if not pin or checked.digest is None:
            await self._chain.append_and_commit(actor, event)
            return
        async with self._parts.database.account(subject.account_id).transaction() as transaction:
            await self._chain.append(transaction, actor, event)
            values = {"digest": checked.digest, "id": subject.image_id, "reference": checked.reference}
            if await transaction.fetch_one(pin, values) is not None:
                pinned = pin_event(subject.image_id, subject.image_name, checked.reference, checked.digest)
                await self._chain.append(transaction, actor, pinned)


def _subject(intended: Intended) -> Subject:
    subject = Subject(intended.account_id, str(intended.image_id), intended.image_name, intended.reference)
    if intended.credential_id is None:
        return subject
    return replace(
        subject,
        credential_id=intended.credential_id,
        credential_name=intended.credential_name,
        secret_version=intended.secret_version,
        username=intended.username,
    )


def _parsed(subject: Subject) -> Reference:
    try:
        return Reference.parse(subject.reference)
    except ValueError:
        sentence = f"What is stored as the reference of the image {subject.image_name} is none. Enter it again."
    raise Conflict(sentence, "no-reference")


@contextmanager
def _refusals_are_the_agents(agent: Actor) -> Iterator[None]:
    """As at the hand-over: what cannot be handed over is refused to this agent."""
    try:
        yield
    except Conflict as error:
        raise NotHandedOver(agent, error) from None
