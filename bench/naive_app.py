"""What one would write first: `databases` as its README shows, on the same store, with the same checks of the token and the same audit row.

It opens the store's keyring as the real program does; only how it reads and writes differs: a query for each thing, and a commit for
each request.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import databases
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from webapp.chain import COLUMNS, FIRST_MAC, mac_input
from webapp.clock import system_clock
from webapp.credentials.credential import seal_context
from webapp.settings import Settings
from webapp.vault import Vault, current_root_key, open_keyring, parse

SETTINGS = Settings.from_environ(os.environ)
database = databases.Database(SETTINGS.database_url)
INSERT = (
    f"INSERT INTO audit_log ({', '.join(COLUMNS)}, previous_mac, mac) VALUES ({', '.join(f':{c}' for c in COLUMNS)}, :previous_mac, :mac)"
)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """Connect, and unwrap the keyring."""
    await database.connect()
    instance = str((await database.fetch_all("SELECT id FROM installation"))[0]._mapping["id"])
    rows = [dict(row._mapping) for row in await database.fetch_all("SELECT * FROM keyring ORDER BY id")]
    app.state.vault = Vault(open_keyring(rows, current_root_key(SETTINGS, rows, [], instance), instance), instance)
    yield
    await database.disconnect()


async def one(sql: str, **values: object) -> dict[str, Any]:
    """The first row; an empty one where there is none."""
    row = await database.fetch_one(sql, values)
    return {} if row is None else dict(row._mapping)


async def answer(request: Request) -> JSONResponse:
    """The hand-over, one statement after the other."""
    vault: Vault = request.app.state.vault
    token = parse(request.headers["authorization"].removeprefix("Bearer "), "a")
    if token is None:
        return JSONResponse({}, 401)
    held = await one("SELECT * FROM agent_tokens WHERE accessor = :accessor AND revoked_at IS NULL", accessor=token.accessor)
    if not held or not vault.token_matches(
        token,
        bytes(held["mac"]),
        owner=str(held["agent_id"]),
        account_id=str(held["account_id"]),
        expires_at=None,
    ):
        return JSONResponse({}, 401)
    agent = await one("SELECT * FROM agents WHERE id = :id", id=held["agent_id"])
    image = await one("SELECT * FROM images WHERE id = :id", id=agent["image_id"])
    credential = await one("SELECT * FROM registry_credentials WHERE id = :id", id=image["registry_credential_id"])
    async with database.transaction():
        last = await one("SELECT seq, mac FROM audit_log WHERE chain = :chain ORDER BY seq DESC LIMIT 1", chain=vault.instance_id)
        previous = FIRST_MAC if not last else last["mac"]
        number = 1 if not last else last["seq"] + 1
        row: dict[str, object] = dict.fromkeys(COLUMNS) | {
            "chain": vault.instance_id,
            "seq": number,
            "at": system_clock(),
            "account_id": held["account_id"],
            "actor_kind": "agent",
            "actor_id": agent["id"],
            "actor_label": agent["name"],
            "accessor": token.accessor,
            "action": "registry_credential.release",
            "object_kind": "registry_credential",
            "object_id": credential["id"],
            "object_name": credential["name"],
            "secret_version": credential["secret_version"],
            "decision": "allowed",
        }
        mac = vault.audit_mac(mac_input(previous, row))
        await database.execute(INSERT, {**row, "previous_mac": previous, "mac": mac})
    place = seal_context(str(held["account_id"]), str(credential["id"]), 1, str(credential["host"]), str(credential["auth_method"]))
    value = vault.open(bytes(credential["sealed"]), place).reveal().decode()
    auth = {"registry": credential["host"], "username": credential["username"], "password": value, "expires_at": None}
    document = {"image": {"name": image["name"], "reference": image["reference"]}, "registry_auth": auth, "user_data": None}
    return JSONResponse({**document, "provision_id": f"{number:032x}"})


app = Starlette(routes=[Route("/api/v1/provision", answer)], lifespan=lifespan)
