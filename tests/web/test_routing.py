"""Who passes the doors: one of each kind, and what is written down of who does not. All of them are in `matrix.py`."""

from typing import Any

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.personas import House
from tests.stories import api_token, bearer, enrolled
from webapp.web import routing
from webapp.web.forms import MOST_BODY
from webapp.web.permissions import Permission
from webapp.web.routing import Endpoint, page

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # who may do what

DOORS = [
    ("GET", "/livez", "oooo"),
    ("GET", "/images", "looo"),
    ("POST", "/images/user-data-preview", "lfoo"),
    ("GET", "/settings/encryption", "lffo"),
    ("GET", "/api/v1/me", "uuuu"),
    ("GET", "/api/v1/provision", "uuuu"),
    ("POST", "/api/v1/enroll", "uuuu"),
]


async def endpoint(request: Request) -> Response:
    return PlainTextResponse("here")


@pytest.mark.parametrize(("method", "path", "expected"), DOORS)
async def test_each_door_lets_its_own_in(house: House, method: str, path: str, expected: str) -> None:
    people = [await house.client(), *[await house.signed_in(persona) for persona in (house.bob, house.erin, house.alice)]]
    answers = [await client.request(method, path) for client in people]
    assert "".join({303: "l", 401: "u", 403: "f"}.get(answer.status_code, "o") for answer in answers) == expected
    if expected != "oooo" and "/api/" not in path:
        assert answers[0].headers["location"].startswith("/login")


@pytest.mark.parametrize(
    ("path", "role", "needs", "enough"),
    [("/images/new", "viewer", "edit", "an editor or an admin"), ("/settings/encryption", "viewer", "administer", "an admin")],
)
async def test_who_is_refused_is_told_why_and_written_down(
    house: House, bob: httpx2.AsyncClient, path: str, role: str, needs: str, enough: str
) -> None:
    answer = await bob.get(path)
    assert answer.status_code == 403
    assert f"Your role is {role}; this needs {enough}." in answer.text
    row = (await house.audit())[-1]
    assert (row["action"], row["object_kind"], row["object_id"], row["object_name"]) == ("request.refuse", "route", path, "GET")
    assert (row["decision"], row["detail"], row["actor_label"]) == ("denied", f"a {role} may not {needs}", "bob@example.com")


async def test_a_token_is_refused_by_its_own_role(house: House, alice: httpx2.AsyncClient) -> None:
    client = await house.client()
    client.headers.update(bearer(await api_token(alice, role="viewer")))
    answer = await client.delete(f"/api/v1/registry-credentials/{'0' * 32}")
    assert answer.status_code == 403
    assert answer.json()["detail"] == "This token may do what a viewer may; this needs an editor or an admin."
    row = (await house.audit())[-1]
    assert (row["action"], row["decision"], row["actor_kind"]) == ("request.refuse", "denied", "api_token")
    assert row["detail"] == "a viewer may not edit"


async def test_the_door_for_machines_takes_no_other_site_for_one(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await enrolled(house, alice)
    foreign = {"Sec-Fetch-Site": "cross-site"}
    answer = await (await house.client()).post("/api/v1/provision/result", json={}, headers={**bearer(token), **foreign})
    assert answer.status_code == 422, "it reads no cookie, so that no other site can make anybody send one"
    assert (await (await house.client()).get("/api/v1/me", headers={**bearer(await api_token(alice)), **foreign})).status_code == 200
    for path in ("/login", "/logout", "/images"):
        assert (await alice.post(path, headers=foreign)).status_code == 403
    assert (await alice.get("/images", headers=foreign)).status_code == 200


async def test_a_probe_does_not_even_look_who_asks(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(20 * 60_000)
    assert (await alice.get("/livez")).text == "alive\n"
    row = await house.store.database.fetch_one("SELECT seen_at, created_at FROM sessions")
    assert row is not None
    assert row["seen_at"] == row["created_at"]


async def test_a_public_page_is_open_and_knows_who_is_there(stranger: httpx2.AsyncClient, alice: httpx2.AsyncClient) -> None:
    assert (await stranger.get("/login")).status_code == 200
    assert (await alice.get("/login")).headers["location"] == "/registry-credentials"


@pytest.mark.parametrize(
    ("path", "needs", "again"),
    [
        ("/x", Permission.PROBE, False),
        ("/x", Permission.PUBLIC, False),
        ("/x", Permission.SEE, True),
        ("/x", Permission.ADMINISTER, True),
        ("/api/v1/x", Permission.AGENT, False),
    ],
)
async def test_only_members_are_asked_again_when_their_body_is_read(
    house: House, alice: httpx2.AsyncClient, path: str, needs: Permission, again: bool
) -> None:
    async def says(request: Request) -> Response:
        return PlainTextResponse(str(hasattr(request.state, "permit_again")))

    _, token = await enrolled(house, alice)
    house.app.router.routes.insert(0, page(path, says, needs=needs, name="x"))
    assert (await alice.get(path, headers=bearer(token))).text == str(again)


def test_a_route_has_what_it_was_made_with() -> None:
    read = page("/x", endpoint, needs=Permission.SEE, name="x")
    assert (read.methods, read.name, read.path, read.needs) == ({"GET", "HEAD"}, "x", "/x", Permission.SEE)  # type: ignore[attr-defined]
    assert read.most_body is None  # type: ignore[attr-defined]
    for needs in (Permission.AGENT, Permission.BOOTSTRAP):
        assert page("/x", endpoint, needs=needs, name="x").methods == {"GET"}, "a hand-over that nobody reads is none"


@pytest.mark.parametrize(
    ("methods", "most", "limit"), [(["GET"], None, None), (["POST"], None, MOST_BODY), (["PUT"], 7, 7), (["GET", "POST"], 9, 9)]
)
def test_a_body_has_its_limit_where_one_is_read(
    monkeypatch: pytest.MonkeyPatch, methods: list[str], most: int | None, limit: int | None
) -> None:
    told: list[object] = []

    class Noting(Route):
        def __init__(self, path: str, endpoint: Endpoint, *, max_body_size: int | None, **more: Any) -> None:
            told.append(max_body_size)
            super().__init__(path, endpoint, max_body_size=max_body_size, **more)

    monkeypatch.setattr(routing, "Route", Noting)
    made = page("/x", endpoint, needs=Permission.EDIT, name="x", methods=methods, most_body=most)
    assert (told, made.most_body) == ([limit], most)  # type: ignore[attr-defined]
