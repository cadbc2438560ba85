"""Steps of the stories about members: inviting, joining, and the links between them."""

import re

import httpx2

from tests.personas import PASSWORD, House, Persona

DANA = "dana@example.com"

MEMBERS = "/settings/members"

LINK = re.compile(r"/join\?token=(rc_i_[0-9A-Za-z]+_[0-9A-Za-z]+)")


async def invite(client: httpx2.AsyncClient, email: str = DANA, role: str = "editor", **fields: str) -> httpx2.Response:
    """Invite somebody through the form."""
    return await client.post("/settings/members/invitations", data={"email": email, "role": role, **fields})


async def invited(client: httpx2.AsyncClient, email: str = DANA, role: str = "editor") -> str:
    """The token of a fresh invitation's link, read from the one answer that holds it."""
    answer = await invite(client, email, role)
    assert answer.status_code == 200, answer.text
    found = LINK.search(answer.text)
    assert found is not None
    return found[1]


async def join(client: httpx2.AsyncClient, token: str, password: str = PASSWORD, again: str | None = None) -> httpx2.Response:
    """Accept an invitation through the form."""
    return await client.post("/join", data={"token": token, "password": password, "password_again": password if again is None else again})


async def joined(house: House, admin: httpx2.AsyncClient, email: str = DANA, role: str = "editor") -> tuple[httpx2.AsyncClient, str]:
    """A new member's browser, signed in, and the member's id."""
    browser = await house.client()
    answer = await join(browser, await invited(admin, email, role))
    assert answer.status_code == 303, answer.text
    return browser, await member_id(house, email)


async def member_id(house: House, email: str) -> str:
    """The id of the member with this address."""
    row = await house.store.database.fetch_one("SELECT id FROM members WHERE email = :email", {"email": email})
    assert row is not None
    return str(row["id"])


async def second_admin(house: House) -> Persona:
    """Grace, who is an admin beside alice."""
    grace = Persona("grace", "admin", house.alice.account_id, house.alice.account_name)
    await house.move_in(grace)
    return grace


async def actions(house: House, last: int) -> list[object]:
    """The last few acts of the audit log."""
    return [row["action"] for row in (await house.audit())[-last:]]


async def change_role(client: httpx2.AsyncClient, member: str, role: str, **fields: str) -> httpx2.Response:
    """Give a member another role through the form."""
    return await client.post(f"{MEMBERS}/{member}/role", data={"role": role, **fields})


async def remove(client: httpx2.AsyncClient, member: str, **fields: str) -> httpx2.Response:
    """Remove a member through the form."""
    return await client.post(f"{MEMBERS}/{member}/remove", data=fields)


async def role_of(house: House, member: str) -> str | None:
    """The member's role in the database; None for who is not there."""
    row = await house.store.database.fetch_one("SELECT role FROM members WHERE id = :id", {"id": member})
    return None if row is None else str(row["role"])


def rows(page: str) -> dict[str, str]:
    """The rows of the page's lists, by the address in their first cell."""
    return {found[1]: found[0] for found in re.finditer(r'<tr>\s*<th scope="row">([^<]+?)(?: <span.*?)?</th>.*?</tr>', page, re.DOTALL)}
