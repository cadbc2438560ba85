"""What members do with passkeys, step by step, as the script of the pages does it."""

from typing import Any

import httpx2

from tests.personas import House, Persona
from tests.real.authenticator import Authenticator
from webapp.accounts.member import member_mac

ORIGIN = "http://localhost:8000"
ENVIRON = {"WEBAPP_PUBLIC_URL": ORIGIN}
AS_SCRIPT = {"HX-Request": "true"}

ADD = "/settings/sign-in/passkeys"
CONFIRM = "/settings/sign-in/confirm"
SIGN_IN = "/login/passkey"


async def ask(client: httpx2.AsyncClient, path: str, **fields: str) -> dict[str, Any]:
    """What the server wants of the browser, for what `path` does."""
    answer = await client.post(f"{path}/options", data=fields, headers=AS_SCRIPT)
    assert answer.status_code == 200, answer.text
    options: dict[str, Any] = answer.json()
    return options


async def add(client: httpx2.AsyncClient, authenticator: Authenticator, name: str = "work laptop", **lies: Any) -> httpx2.Response:
    """Add a passkey."""
    made = authenticator.create(await ask(client, ADD, name=name), **lies)
    return await client.post(ADD, json=made, headers=AS_SCRIPT)


async def show(client: httpx2.AsyncClient, authenticator: Authenticator, path: str = SIGN_IN, **lies: Any) -> httpx2.Response:
    """Sign in with a passkey, or confirm with it."""
    return await client.post(path, json=authenticator.get(await ask(client, path), **lies), headers=AS_SCRIPT)


async def without_password(house: House, persona: Persona) -> None:
    """Let the persona have no password, as whoever joined in another way."""
    row = {"id": persona.member_id, "account_id": persona.account_id, "email_key": persona.email, "role": persona.role, "password_hash": ""}
    mac = member_mac(house.store.vault, row)
    await house.tamper("UPDATE members SET password_hash = '', mac = :mac WHERE id = :id", mac=mac, id=persona.member_id)
