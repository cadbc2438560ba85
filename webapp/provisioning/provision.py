"""The hand-over: one agent is given its image and exactly the credential that the image needs.

This is the one use case in which an agent, an image and a credential meet. Data flows one way: the
agent's token, one read of what it is to have, the checks, the audit row on disk, and only then the secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from webapp.actor import Actor
from webapp.chain import AuditChain, Event
from webapp.clock import SECOND, Clock, rfc3339
from webapp.credentials.minted_tokens import FAILED, Minted, MintedTokens
from webapp.credentials.minting import NotMinted, Source
from webapp.credentials.sign_ins import refuse_expired, token_username
from webapp.database import Batch
from webapp.errors import Conflict, Unavailable
from webapp.images.user_data import Store
from webapp.provisioning.activity import Activity
from webapp.provisioning.intended import Intended, refuse
from webapp.provisioning.kept_rows import NOWHERE, Known
from webapp.provisioning.provision_id import provision_id_of
from webapp.provisioning.repository import ProvisionRepository
from webapp.provisioning.user_data import FoundUserData, find_user_data, render_user_data
from webapp.secrets.repository import NamedValueRepository
from webapp.vault import SealBroken, Secret, Token, Vault

TRIES = 3
"""How often a hand-over is decided before it is given up: each time a token was minted for it, and what it is for was changed meanwhile."""


@dataclass(slots=True)
class RegistryAuth:
    """What signs in at the registry. `expires_at` is Unix milliseconds, None for what does not expire."""

    registry: str
    username: str
    password: Secret
    expires_at: int | None = None


@dataclass(slots=True)
class Provision:
    """A recorded hand-over. `auth` is None for a public image."""

    id: str
    image_name: str
    reference: str
    host: str
    auth: RegistryAuth | None
    user_data: Secret | None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a hand-over is made with."""

    provisions: ProvisionRepository
    values: Mapping[Store, NamedValueRepository]
    activity: Activity
    chain: AuditChain
    vault: Vault
    clock: Clock
    tokens: MintedTokens


class NotHandedOver(Exception):
    """The agent is known, and is handed nothing: who it is, and why; Unavailable for what may go well soon."""

    def __init__(self, agent: Actor, why: Conflict | Unavailable) -> None:
        super().__init__(str(why))
        self.agent, self.why = agent, why


class NeedsToken(Exception):
    """All is well but for the token, which is to be minted first; then it is decided again."""

    def __init__(self, agent: Actor, intended: Intended, source: Source) -> None:
        super().__init__(intended.credential_name)
        self.agent, self.intended, self.source = agent, intended, source


class NeedsKeyring(Exception):
    """A value is sealed with a key that is not known here: the keyring is to be looked up first; then it is decided again."""


class HandOver:
    """One hand-over on its way: `decide` takes part in the batch, and `release` comes after its commit."""

    __slots__ = (
        "_address",
        "_known",
        "_looked_up",
        "_minted",
        "_now",
        "_number",
        "_parts",
        "_refused",
        "_request_id",
        "_token",
        "_user_data",
        "_with_user_data",
        "_writer",
    )
    _known: Known

    def __init__(
        self,
        token: Token,
        address: str | None,
        request_id: str | None,
        parts: Parts,
        *,
        with_user_data: bool = True,
        looked_up: bool = False,
    ) -> None:
        """`looked_up` is whether the keyring was: what no key is there for then does not open."""
        self._token, self._address, self._request_id = token, address, request_id
        self._parts, self._with_user_data, self._looked_up = parts, with_user_data, looked_up
        self._now = self._writer = self._number = 0
        self._minted: Minted | None = None
        self._user_data: FoundUserData | None = None
        self._refused: NotHandedOver | None = None

    def decide(self, batch: Batch) -> None:
        """Read what the agent is to have, check it, and say what to write.

        Nobody else writes meanwhile, so that nothing is served that was changed or revoked before.
        Raises UnknownToken, RefusedToken; NeedsToken, NeedsKeyring. What else is wrong is raised by `release`, when it is written down
        that the agent was here.
        """
        parts = self._parts
        self._now = parts.clock()
        self._known = parts.provisions.known(batch, self._token)
        intended = self._known.intended
        try:
            refuse_expired(intended.credential_name, intended.expires_at, self._now)
            event = self._known.event
            if event is None:
                if self._known.place == NOWHERE:
                    raise SealBroken("it is filed where nothing of ours can be")
                refuse(intended)
                if self._known.place is not None:
                    self._need_key_of(intended.sealed)
                event = self._known.event = _event(intended)
            user_data = self._user_data = self._found_user_data(batch) if self._with_user_data else None
            if user_data is not None and user_data.may_be_too_long:
                # Tried before the row is written: a row that says "allowed" is about something that left.
                render_user_data(intended.account_id, user_data, parts.values)
        except (Conflict, SealBroken) as error:
            self._refused = self._not_handed_over(intended, error)
            return
        if (source := self._known.source) is not None:
            self._minted = parts.tokens.ready(source, intended.sealed)
            if self._minted is None:
                raise NeedsToken(self._agent(intended), intended, source)
            event = replace(event, detail=f"{event.detail}; token until {rfc3339(self._minted.expires_at)}")
        if user_data is not None:
            # What is read is named in full, however much it is: 64 names at the most.
            event = replace(event, detail=f"{event.detail}; {user_data.reads}")
        self._writer = batch.writer.number
        self._number = parts.chain.add(batch, self._agent(intended), event, self._now)

    def release(self) -> Provision:
        """What leaves, now that its row is committed and synced: only here is anything opened. Raises NotHandedOver."""
        intended = self._known.intended
        if self._refused is not None:
            self._parts.activity.seen(intended, self._now)
            raise self._refused
        self._parts.activity.handed_over(self._known, self._now)
        try:
            auth = _open(self._known, self._minted, self._parts)
            rendered = render_user_data(intended.account_id, self._user_data, self._parts.values)
        except (Conflict, SealBroken) as error:
            problem = self._not_handed_over(intended, error)
        else:
            provision_id = provision_id_of(self._now, self._writer, self._number)
            return Provision(provision_id, intended.image_name, intended.reference, intended.image_host, auth, rendered)
        raise problem

    def _found_user_data(self, batch: Batch) -> FoundUserData | None:
        """What the template refers to. Raises Conflict when it is not there: what is absent is looked for each time."""
        known = self._known
        if known.user_data is None and known.intended.user_data is not None:
            found = find_user_data(batch, known.intended.account_id, known.intended.user_data, self._parts.values)
            for sealed in found.sealed if found is not None else ():
                self._need_key_of(sealed)
            self._parts.provisions.kept.found(known, found)
        return known.user_data

    def _need_key_of(self, sealed: bytes) -> None:
        if not self._looked_up and self._parts.vault.lacks_key_of(sealed):
            raise NeedsKeyring

    def _agent(self, intended: Intended) -> Actor:
        return Actor(
            intended.account_id, "agent", intended.agent_id, intended.agent_name, self._token.accessor, self._address, self._request_id
        )

    def _not_handed_over(self, intended: Intended, error: Conflict | SealBroken) -> NotHandedOver:
        why = error if isinstance(error, Conflict) else _does_not_open(intended, error)
        return NotHandedOver(self._agent(intended), why)


async def provision(token: Token, address: str | None, request_id: str | None, parts: Parts, *, with_user_data: bool = True) -> Provision:
    """Hand over an agent's image, its credential and its user data, once the audit row is committed and synced.

    Raises UnknownToken, RefusedToken; NotHandedOver when there is no image to install, or when its credential or its user data
    does not fit, or no token is minted (never a guess, never anonymous); Unavailable when the row cannot be written.
    """
    looked_up = False
    for _ in range(TRIES):
        hand_over = HandOver(token, address, request_id, parts, with_user_data=with_user_data, looked_up=looked_up)
        needs = None
        try:
            await parts.provisions.submit(token, hand_over.decide)
        except NeedsToken as needed:
            needs = needed
        except NeedsKeyring:
            looked_up = True
        else:
            return hand_over.release()
        await (parts.vault.look_up() if needs is None else _mint(needs, parts))
    raise Unavailable("The registry credential is being changed just now, so nothing was released. Try again.")


async def _mint(needs: NeedsToken, parts: Parts) -> None:
    """Have the token minted. Raises NotHandedOver."""
    why: Conflict | Unavailable
    intended = needs.intended
    try:
        await parts.tokens.get(needs.source, intended.sealed)
        return
    except SealBroken as error:
        why = _does_not_open(intended, error)
    except NotMinted as error:
        sentence = f"There is no token of {intended.credential_name} for the image {intended.image_name}. {error.sentence}"
        code = "token-not-minted"
        why = Conflict(sentence, code) if error.lasting else Unavailable(sentence, code, FAILED // SECOND)
    except Conflict:  # the credential was changed meanwhile: what it is now is looked at anew
        return
    parts.activity.seen(intended, parts.clock())
    raise NotHandedOver(needs.agent, why)


def _does_not_open(intended: Intended, error: SealBroken) -> Conflict:
    return Conflict(f"A stored value of the image {intended.image_name} does not open ({error}). Enter it again.", "does-not-open")


def _event(intended: Intended) -> Event:
    if intended.credential_id is None:
        detail = f"{intended.reference}, no credential"
        return Event("image.hand_over", "image", str(intended.image_id), intended.image_name, detail=detail)
    return Event(
        "registry_credential.release",
        "registry_credential",
        intended.credential_id,
        intended.credential_name,
        secret_version=intended.secret_version,
        detail=f"image {intended.image_name}, {intended.reference}",
    )


def _open(known: Known, minted: Minted | None, parts: Parts) -> RegistryAuth | None:
    if known.place is None:
        return None
    intended = known.intended
    if minted is not None:
        return RegistryAuth(intended.image_host, token_username(intended.auth_method), parts.tokens.open(minted), minted.expires_at)
    password = parts.vault.open_at(intended.sealed, known.place)
    return RegistryAuth(intended.image_host, intended.username, password, intended.expires_at)
