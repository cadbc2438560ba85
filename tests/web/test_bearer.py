"""The agent API's tokens: what is taken as one, and what the refusal tells to whom."""

import httpx2
import pytest

from tests.personas import House
from tests.stories import bearer, bootstrap_token, enrolled
from webapp.vault import Token, mint

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # what a header may hold

LET_IN = 409
"""It is known who asks; there is no image yet."""


async def ask(house: House, headers: dict[str, str], path: str = "/api/v1/provision") -> httpx2.Response:
    return await (await house.client()).get(path, headers=headers)


def text(token: Token) -> str:
    return token.text.reveal().decode("ascii")


async def put_in(house: House, token: Token, agent_id: str, mac: bytes) -> None:
    """Write a token of one's own, as somebody who owns the database would."""
    async with house.store.database.transaction() as transaction:
        await transaction.execute(
            "INSERT INTO agent_tokens (accessor, account_id, agent_id, bootstrap_token_id, mac, created_at)"
            " SELECT :accessor, account_id, id, bootstrap_token_id, :mac, 0 FROM agents WHERE id = :agent",
            {"accessor": token.accessor, "mac": mac, "agent": agent_id},
        )


@pytest.mark.parametrize("scheme", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", "Bearer {} "])
async def test_a_token_is_taken_from_the_header(house: House, alice: httpx2.AsyncClient, scheme: str) -> None:
    _, token = await enrolled(house, alice)
    assert (await ask(house, {"Authorization": scheme.format(token)})).status_code == LET_IN


@pytest.mark.parametrize(
    "scheme",
    [
        "",
        "{}",
        "Bearer",
        "Basic {}",
        "Token {}",
        "Bearer: {}",
        "Bearer{}",
        'Bearer "{}"',
        "Bearer {}x",
        "Bearer x{}",
        "Bearer {0},{0}",
        "Bearer {0} {0}",
    ],
)
async def test_what_is_no_bearer_token_is_refused(house: House, alice: httpx2.AsyncClient, scheme: str) -> None:
    _, token = await enrolled(house, alice)
    answer = await ask(house, {"Authorization": scheme.format(token)})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="registry-credentials"')
    assert token not in answer.text


async def test_a_token_is_taken_from_nowhere_else(house: House, alice: httpx2.AsyncClient) -> None:
    _, token = await enrolled(house, alice)
    for path, headers in (
        (f"/api/v1/provision?access_token={token}&token={token}", {}),
        ("/api/v1/provision", {"Cookie": f"session={token}"}),
        ("/api/v1/provision", {"X-Auth-Token": token, "Proxy-Authorization": f"Bearer {token}"}),
    ):
        assert (await ask(house, headers, path)).status_code == 401


async def test_each_kind_of_token_opens_its_own_door_only(house: House, alice: httpx2.AsyncClient) -> None:
    _, agent_token = await enrolled(house, alice)
    bootstrap = await bootstrap_token(alice)
    client = await house.client()
    assert (await client.post("/api/v1/enroll", json={"name": "x"}, headers=bearer(agent_token))).status_code == 401
    assert (await client.post("/api/v1/provision/result", json={}, headers=bearer(bootstrap))).status_code == 401
    for token in (bootstrap, alice.cookies["session"]):
        assert (await ask(house, bearer(token))).status_code == 401
    assert (await client.get("/images", headers=bearer(agent_token))).status_code == 303, "and no page"


@pytest.mark.parametrize("story", ["no MAC", "another token's MAC", "another owner's MAC", "another account's MAC"])
async def test_a_token_that_somebody_wrote_into_the_database_is_none(
    house: House, alice: httpx2.AsyncClient, charlie: httpx2.AsyncClient, story: str
) -> None:
    agent_id, _ = await enrolled(house, alice)
    theirs, _ = await enrolled(house, charlie, "theirs")
    forged, vault = mint("a"), house.store.vault
    mac = {
        "no MAC": b"",
        "another token's MAC": vault.token_mac(mint("a"), owner=agent_id, account_id=house.alice.account_id, expires_at=None),
        "another owner's MAC": vault.token_mac(forged, owner=theirs, account_id=house.alice.account_id, expires_at=None),
        "another account's MAC": vault.token_mac(forged, owner=agent_id, account_id=house.charlie.account_id, expires_at=None),
    }[story]
    await put_in(house, forged, agent_id, mac)
    assert (await ask(house, bearer(text(forged)))).status_code == 401
    row = (await house.audit())[-1]
    assert (row["action"], row["decision"], row["detail"]) == ("token.refuse", "denied", "the token's accessor is known, the token is not")


async def test_a_refusal_says_whose_it_was_and_from_where(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}/revoke")
    answer = await ask(house, bearer(token))
    row = (await house.audit())[-1]
    assert (row["account_id"], row["actor_kind"], row["actor_id"], row["actor_label"]) == (
        house.alice.account_id,
        "agent",
        agent_id,
        "rack1-node07",
    )
    assert (row["accessor"], row["address"], row["request_id"], row["detail"]) == (
        token.split("_")[2],
        "192.0.2.7",
        answer.headers["x-request-id"],
        "the token is revoked",
    )
    assert token.split("_")[3] not in str(row)


async def test_the_answer_is_the_same_whatever_is_wrong(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    await alice.post(f"/agents/{agent_id}/revoke")
    stranger = text(mint("a"))
    accessor_only = f"rc_a_{token.split('_')[2]}_{stranger.split('_')[3]}"
    answers = [await ask(house, bearer(each)) for each in (token, stranger, accessor_only, "nonsense")]
    documents = [{name: value for name, value in answer.json().items() if name != "request_id"} for answer in answers]
    headers = [{name: value for name, value in answer.headers.items() if name != "x-request-id"} for answer in answers]
    assert documents == [documents[0]] * len(answers)
    assert headers == [headers[0]] * len(answers)
