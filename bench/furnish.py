"""A store with many agents, each with an image and a registry credential of its own: what a large fleet looks like."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

from webapp.actor import Actor
from webapp.credentials.credential import seal_context
from webapp.database import Batch
from webapp.ids import new_id
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.vault import Secret, mint

PASSWORD = "correct horse battery staple"
EMAIL = "alice@example.com"
VALUE = "a-registry-token-of-a-usual-length-1234"
CHUNK = 5_000

_COMMON = "1, :now, :now, 'alice@example.com'"
_CREDENTIAL = (
    "INSERT INTO registry_credentials (id, account_id, name, name_key, description, host, auth_method, username, sealed, kek_id,"
    " secret_version, version, created_at, updated_at, updated_by, replaced_at, replaced_by) VALUES (:id, :account_id, :name, :name,"
    f" '', :host, 'password', 'acme-bot', :sealed, :kek_id, 1, {_COMMON}, :now, 'alice@example.com')"
)
_CREDENTIAL_ACTIVITY = "INSERT INTO registry_credential_activity (registry_credential_id, account_id) VALUES (:id, :account_id)"
_IMAGE = (
    "INSERT INTO images (id, account_id, name, name_key, description, docker_image_url, reference, host, registry_credential_id,"
    f" version, created_at, updated_at, updated_by) VALUES (:id, :account_id, :name, :name, '', :ref, :ref, :host, :credential, {_COMMON})"
)
_AGENT = (
    "INSERT INTO agents (id, account_id, name, name_key, image_id, bootstrap_token_id, enrolled_at, version)"
    " VALUES (:id, :account_id, :name, :name, :image, :bootstrap, :now, 1)"
)
_AGENT_ACTIVITY = "INSERT INTO agent_activity (agent_id, account_id, last_seen_at) VALUES (:id, :account_id, :now)"
_TOKEN = (
    "INSERT INTO agent_tokens (accessor, account_id, agent_id, bootstrap_token_id, mac, created_at, used_at)"
    " VALUES (:accessor, :account_id, :agent, :bootstrap, :mac, :now, :now)"
)


def furnish(settings: Settings, agents: int, tokens_file: Path) -> None:
    """Make the store, with that many agents, images and credentials in one account, and write the agents' tokens, a line each."""
    asyncio.run(_furnish(settings, agents, tokens_file))


async def _furnish(settings: Settings, agents: int, tokens_file: Path) -> None:
    async with open_store(settings, first=True, patience=True) as store:
        nobody = Actor("", "command_line", "0", "bench")
        member = await store.members.create_admin(nobody, EMAIL, Secret(PASSWORD.encode()))
        actor = Actor(member.account_id, "member", member.id, member.email)
        bootstrap, _ = await store.bootstrap_tokens.create(actor, description="", lifetime=365 * 86_400_000, allow_reenrolment=False)
        with tokens_file.open("w", encoding="ascii") as file:
            for start in range(0, agents, CHUNK):
                rows, tokens = _rows(store, actor.account_id, bootstrap.id, range(start, min(agents, start + CHUNK)))

                async def write(batch: Batch, rows: list[tuple[str, dict[str, object]]] = rows) -> None:
                    for sql, values in rows:
                        await batch.execute(sql, values)

                await store.database.submit(write)
                file.writelines(f"{token}\n" for token in tokens)


def _rows(store: Store, account_id: str, bootstrap: str, numbers: range) -> tuple[list[tuple[str, dict[str, object]]], list[str]]:
    rows: list[tuple[str, dict[str, object]]] = []
    tokens: list[str] = []
    for number in numbers:
        for sql, values, token in _fleet(store, account_id, bootstrap, number):
            rows.append((sql, values))
            tokens += [token] if token else []
    return rows, tokens


def _fleet(store: Store, account_id: str, bootstrap: str, number: int) -> Iterator[tuple[str, dict[str, object], str]]:
    now, host = store.clock(), f"r{number % 1000}.example.com"
    credential, image, agent = new_id(), new_id(), new_id()
    sealed = store.vault.seal(Secret(VALUE.encode()), seal_context(account_id, credential, 1, host, "password"))
    common: dict[str, object] = {"account_id": account_id, "now": now}
    name = f"credential-{number:07}"
    yield _CREDENTIAL, {**common, "id": credential, "name": name, "host": host, "sealed": sealed.blob, "kek_id": sealed.kek_id}, ""
    yield _CREDENTIAL_ACTIVITY, {"account_id": account_id, "id": credential}, ""
    reference = f"{host}/acme/ubuntu-{number}:24.04"
    yield _IMAGE, {**common, "id": image, "name": f"image-{number:07}", "ref": reference, "host": host, "credential": credential}, ""
    yield _AGENT, {**common, "id": agent, "name": f"rack-{number:07}", "image": image, "bootstrap": bootstrap}, ""
    yield _AGENT_ACTIVITY, {**common, "id": agent}, ""
    token = mint("a")
    mac = store.vault.token_mac(token, owner=agent, account_id=account_id, expires_at=None)
    yield (
        _TOKEN,
        {**common, "accessor": token.accessor, "agent": agent, "bootstrap": bootstrap, "mac": mac},
        token.text.reveal().decode("ascii"),
    )
