"""A store with something of everything in it, written by the repositories and the hand-over as in use."""

import random
from dataclasses import dataclass, field
from itertools import count

from tests.battery.kept_open import Opened, loop, parts_of, template
from tests.personas import TestClock
from webapp.actor import Actor
from webapp.clock import SECOND
from webapp.credentials.credential import AuthMethod, CredentialFields
from webapp.credentials.credential import Credential as Stored
from webapp.images.image import ImageFields
from webapp.images.user_data import parse_user_data
from webapp.names import parse_name
from webapp.provisioning.provision import Provision, provision
from webapp.provisioning.result import Result
from webapp.reference import Reference
from webapp.secrets.named_value import ValueFields
from webapp.store import Store
from webapp.vault import Secret, Token, parse

_numbers = count(1)


@dataclass(frozen=True)
class Credential:
    """A stored credential and its value."""

    id: str
    fields: CredentialFields
    value: str


@dataclass
class Agent:
    """An enrolled agent that has an image, and what it is to be handed: the password and the user data."""

    id: str
    token: Token
    account_id: str
    image_id: str
    password: str | None
    user_data: str | None


@dataclass
class Furnished:
    """The open store, and who is in it."""

    opened: Opened
    clock: TestClock
    alice: Actor
    charlie: Actor
    agents: list[Agent] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """The store."""
        return self.opened.store


def furnished() -> Furnished:
    """A fresh one, from the template."""
    clock = TestClock()
    return Furnished(Opened(clock), clock, template().alice.actor, template().charlie.actor)


async def add_credential(house: Furnished, actor: Actor, host: str, method: AuthMethod = AuthMethod.PASSWORD) -> Credential:
    """Store a registry credential, with a value of its own."""
    number = next(_numbers)
    name, value = parse_name(f"credential {number}"), f"password-{number}"
    fields = CredentialFields(name.text, name.key, "", host, method, f"bot-{number}")
    added, _ = await house.store.credentials.add(actor, fields, Secret(value.encode()))
    return Credential(added.id, fields, value)


async def replace_credential(house: Furnished, actor: Actor, credential: Credential) -> Credential:
    """Give it another value."""
    value = f"password-{next(_numbers)}"
    await house.store.credentials.save(actor, credential.id, credential.fields, Secret(value.encode()), None)
    return Credential(credential.id, credential.fields, value)


async def add_secret(house: Furnished, actor: Actor, name: str, value: str) -> str:
    """Store a secret; returns its id."""
    return (await house.store.secrets.add(actor, ValueFields(name, name.lower(), ""), Secret(value.encode())))[0].id


async def add_image(house: Furnished, actor: Actor, credential: Credential | Stored | None, host: str, user_data: str | None = None) -> str:
    """Make an image; returns its id."""
    name, reference = parse_name(f"image {next(_numbers)}"), Reference.parse(f"{host}/acme/ubuntu:24.04")
    parsed = None if user_data is None else parse_user_data(user_data)
    fields = ImageFields(
        name=name.text,
        name_key=name.key,
        description="",
        docker_image_url=str(reference),
        reference=str(reference),
        host=reference.host,
        credential_id=None if credential is None else credential.id,
        user_data=user_data,
        references=() if parsed is None else parsed.references,
    )
    return (await house.store.images.add(actor, fields))[0].id


async def enrol(house: Furnished, actor: Actor, image_id: str, password: str | None = None, user_data: str | None = None) -> Agent:
    """Enrol an agent of the actor's account for this image."""
    _, secret = await house.store.bootstrap_tokens.create(actor, description="", lifetime=3600 * SECOND, allow_reenrolment=False)
    assert secret is not None
    bootstrap = parse(secret.reveal().decode(), "b")
    assert bootstrap is not None
    found = await house.store.enrolment.find_bearer(bootstrap)
    assert found is not None
    agent_id, text = await house.store.enrolment.enroll(found[0], parse_name(f"rack {next(_numbers)}"))
    await house.store.agents.assign_image(actor, agent_id, image_id=image_id, version=None)
    token = parse(text.reveal().decode(), "a")
    assert token is not None
    agent = Agent(agent_id, token, actor.account_id, image_id, password, user_data)
    house.agents.append(agent)
    return agent


async def hand_over(house: Furnished, agent: Agent) -> Provision:
    """As the agent asks for it. Raises as `provision` does."""
    return await provision(agent.token, "192.0.2.9", None, parts_of(house.store))


async def write_a_log(house: Furnished, rows: int, chance: random.Random) -> None:
    """Do things of all kinds, until the audit log has at least so many rows."""
    store, alice = house.store, house.alice
    credential = await add_credential(house, alice, "ghcr.io")
    await add_secret(house, alice, "TOKEN", "the token")
    image = await add_image(house, alice, credential, "ghcr.io", "a={{ secrets.TOKEN }}")
    agent = await enrol(house, alice, image)
    while (await _count(store)) < rows:
        house.clock.advance(chance.randint(0, 2) * SECOND)  # some in the same millisecond
        match chance.randint(0, 4):
            case 0:
                credential = await replace_credential(house, alice, credential)
            case 1:
                actor = chance.choice([alice, house.charlie])
                await enrol(house, actor, await add_image(house, actor, None, "docker.io"))
            case 2:
                handed = await hand_over(house, agent)
                actor = Actor(alice.account_id, "agent", agent.id, "rack", agent.token.accessor)
                await store.provisions.report(actor, Result(handed.id, "failed", None, "no room"))
            case 3:
                await add_credential(house, house.charlie, "docker.io")
            case _:
                await hand_over(house, agent)


async def _count(store: Store) -> int:
    row = await store.database.fetch_one("SELECT count(*) AS count FROM audit_log")
    assert row is not None
    return int(row["count"])


def in_a_loop(house: Furnished, rows: int, seed: int) -> None:
    """`write_a_log`, for who has no loop."""
    loop().run(write_a_log(house, rows, random.Random(seed)))  # noqa: S311  not a secret
