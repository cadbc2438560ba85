"""Who gets in, and for how long. What every route answers to whom is in `matrix.py`."""

import httpx2
import pytest
from starlette.routing import Mount, Route

from tests.personas import House
from webapp.app import ROUTES
from webapp.clock import HOUR, MINUTE
from webapp.web.permissions import Permission, may
from webapp.web.sessions import local_path

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # who may do what; the pages' own tests ask the database on both

OPEN = {
    *("/login", "/login/oidc", "/login/oidc/callback", "/login/oidc/refused", "/login/passkey", "/login/passkey/options"),
    *("/setup", "/join", "/livez", "/readyz"),
}


def routes() -> list[Route]:
    return [route for route in ROUTES if isinstance(route, Route)]


def test_every_route_says_what_it_asks_of_its_caller() -> None:
    assert [route for route in ROUTES if not isinstance(route, Mount) and not isinstance(getattr(route, "needs", None), Permission)] == []
    assert {route.path for route in routes() if route.needs is Permission.PUBLIC} - OPEN <= {"/logout"}  # type: ignore[attr-defined]


async def test_a_refusal_is_in_the_audit_log(house: House, bob: httpx2.AsyncClient) -> None:
    await bob.post("/images", data={"name": "x"})
    row = (await house.audit())[-1]
    assert (row["action"], row["decision"], row["actor_label"]) == ("request.refuse", "denied", "bob@example.com")


@pytest.mark.parametrize("role", ["viewer", "editor", "admin", "", "root"])
def test_a_role_has_its_permissions_and_no_other(role: str) -> None:
    expected = {
        "viewer": {"PUBLIC", "SEE"},
        "editor": {"PUBLIC", "SEE", "EDIT"},
        "admin": {"PUBLIC", "SEE", "EDIT", "ADMINISTER"},
    }.get(role, set())
    assert {permission.name for permission in Permission if may(role, permission)} == expected


async def test_a_session_ends_when_nobody_uses_it_for_half_an_hour(house: House, alice: httpx2.AsyncClient) -> None:
    for _ in range(3):
        house.clock.advance(29 * MINUTE)
        assert (await alice.get("/images")).status_code == 200
    house.clock.advance(31 * MINUTE)
    assert (await alice.get("/images")).status_code == 303


async def test_a_session_ends_after_twelve_hours_whatever_happens(house: House, alice: httpx2.AsyncClient) -> None:
    for _ in range(12 * 60 // 20):
        assert (await alice.get("/images")).status_code == 200
        house.clock.advance(20 * MINUTE)
    assert (await alice.get("/images")).status_code == 303


async def test_polling_is_no_activity(house: House, alice: httpx2.AsyncClient) -> None:
    house.clock.advance(20 * MINUTE)
    await alice.get("/images", headers={"X-Polling": "1"})
    house.clock.advance(15 * MINUTE)
    assert (await alice.get("/images")).status_code == 303


async def test_a_session_that_somebody_wrote_into_the_database_is_none(house: House, alice: httpx2.AsyncClient) -> None:
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE sessions SET expires_at = expires_at + :more", {"more": 100 * HOUR})
    assert (await alice.get("/images")).status_code == 303, "its MAC holds the expiry"
    mallory = await house.signed_in(house.charlie)
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE sessions SET account_id = :id", {"id": house.alice.account_id})
    assert (await mallory.get("/images")).status_code == 303, "its MAC holds the account"


async def test_text_where_a_mac_should_be_is_no_mac(house: House, alice: httpx2.AsyncClient) -> None:
    await house.tamper("UPDATE sessions SET mac = 'text'")
    assert (await alice.get("/images")).status_code == 303
    another = await house.signed_in(house.alice)
    await house.tamper("UPDATE members SET mac = 'text'")
    assert (await another.get("/images")).status_code == 303


async def test_htmx_is_sent_to_sign_in_and_back(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get("/images/new", headers={"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8000/images?q=x"})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/login?next=/images%3Fq%3Dx"


async def test_a_cookie_opens_no_agent_api(alice: httpx2.AsyncClient) -> None:
    assert (await alice.get("/api/v1/provision")).status_code == 401


@pytest.mark.parametrize(
    "text", ["https://evil.example/", "//evil.example", "/\\evil.example", "\\evil", "evil", "", "/a\nb", "/ b", "javascript:x"]
)
def test_only_a_path_of_ours_is_gone_to_after_sign_in(text: str) -> None:
    assert local_path(text) is None
    assert local_path("/images?q=x") == "/images?q=x"


@pytest.mark.parametrize("header", ["", "HX-Boosted", "HX-History-Restore-Request"])
async def test_a_fragment_only_when_htmx_asks_for_a_part(alice: httpx2.AsyncClient, header: str) -> None:
    headers = {"HX-Request": "true"} | ({header: "true"} if header else {})
    answer = await alice.get("/images", headers=headers)
    assert ("<html" in answer.text) == bool(header)
    assert answer.headers["vary"] == "HX-Request, HX-Boosted, HX-History-Restore-Request"


async def test_the_page_holds_the_very_fragment(alice: httpx2.AsyncClient) -> None:
    for path in ("/images", "/agents", "/registry-credentials"):
        whole = (await alice.get(path)).text
        part = (await alice.get(path, headers={"HX-Request": "true"})).text.strip()
        assert part in whole
