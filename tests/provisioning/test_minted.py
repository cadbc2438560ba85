"""The hand-over of tokens that are minted, and of nothing that has expired."""

import asyncio
import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from tests.credentials.minting import ECR_HOST, GOOGLE_HOST, KEY, ecr_fields, google_fields, store
from tests.personas import PASSWORD, House, TestClock
from tests.provisioning.test_short_way import Request
from tests.real.aws_ecr import GET_TOKEN, AwsEcr
from tests.real.aws_kms import SECRET_ACCESS_KEY
from tests.real.google_token_endpoint import GoogleTokenEndpoint
from tests.real.service_account import service_account_key
from tests.stories import add_image, bearer, enrolled, provision
from webapp.clock import DAY, HOUR, MINUTE, SECOND
from webapp.credentials.credential import AuthMethod, CredentialFields
from webapp.credentials.minted_tokens import FAILED
from webapp.credentials.parameters import EcrParameters
from webapp.provisioning.routes import hand_over_directly
from webapp.vault import Secret
from webapp.web.direct import directly

pytestmark = pytest.mark.anyio

REFERENCE = f"{ECR_HOST}/acme/ubuntu:24.04"


@pytest.fixture
def house_environ(ecr: AwsEcr, google: GoogleTokenEndpoint) -> Mapping[str, str]:
    return {**ecr.settings(), **google.settings()}


@pytest.fixture
def clocked(house: House, ecr: AwsEcr) -> TestClock:
    """The house's clock, by which AWS's tokens expire, too."""
    ecr.clock = house.clock
    return house.clock


async def agent_with(house: House, alice: httpx2.AsyncClient, credential_id: str, reference: str = REFERENCE) -> str:
    """An agent whose image needs this credential; its token."""
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, credential_id, docker_image_url=reference)
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    return token


async def rows(house: House, action: str = "registry_credential.release") -> list[tuple[object, object]]:
    return [(row["decision"], row["detail"]) for row in await house.audit() if row["action"] == action]


async def test_an_agent_is_handed_a_token_and_never_the_key(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr
) -> None:
    token = await agent_with(house, alice, (await store(house)).id)
    answer = await provision(house, token)
    assert answer.status_code == 200
    until = "2026-11-04T02:05:00Z"
    assert answer.json()["registry_auth"] == {
        "registry": ECR_HOST, "username": "AWS", "password": ecr.tokens[0], "expires_at": until,
    }  # fmt: skip
    assert await rows(house) == [("allowed", f"image ubuntu-custom, {REFERENCE}; token until {until}")]
    docker = (await provision(house, token, "?format=docker-config")).json()
    pair = base64.b64decode(docker["auths"][ECR_HOST]["auth"]).decode()
    assert pair == f"AWS:{ecr.tokens[0]}"
    assert ecr.asked == {GET_TOKEN: 1}
    clocked.advance(12 * HOUR)
    later = (await provision(house, token)).json()["registry_auth"]
    assert (later["password"], later["expires_at"]) == (ecr.tokens[1], "2026-11-04T14:05:00Z")
    assert await rows(house, "registry_credential.mint") != []


async def test_a_hundred_machines_at_once_are_one_question(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr
) -> None:
    token = await agent_with(house, alice, (await store(house)).id)
    client = await house.client()
    answers = await asyncio.gather(*(client.get("/api/v1/provision", headers=bearer(token)) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["registry_auth"]["password"] for answer in answers} == {ecr.tokens[0]}
    assert ecr.asked == {GET_TOKEN: 1}
    assert len(await rows(house)) == 100


async def test_the_short_way_takes_a_token_that_is_there_and_leaves_the_minting_to_the_other(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr
) -> None:
    token = await agent_with(house, alice, (await store(house)).id)
    short = directly(lambda asked: hand_over_directly(asked, house.app.state.parts), house.settings)
    first, second = Request(token), Request(token)
    short(first)
    await house.store.database.submit(lambda batch: None)  # the batch of the hand-over, or the one behind it
    assert (first.fell_back, first.answered, ecr.asked, await rows(house)) == (True, [], {}, [])
    assert (await provision(house, token)).status_code == 200
    short(second)
    await house.store.database.submit(lambda batch: None)
    assert (second.fell_back, len(second.answered)) == (False, 1)
    assert ecr.asked == {GET_TOKEN: 1}
    clocked.advance(10 * HOUR)
    short(late := Request(token))
    await house.store.database.submit(lambda batch: None)
    assert late.fell_back, "less than three hours are left"


async def test_google_tokens_are_handed_over_for_a_key_that_stays(
    house: House, alice: httpx2.AsyncClient, google: GoogleTokenEndpoint
) -> None:
    key = service_account_key()
    google.know(key)
    token = await agent_with(house, alice, (await store(house, google_fields(), key)).id, f"{GOOGLE_HOST}/acme/images/ubuntu:24.04")
    answer = await provision(house, token)
    assert answer.json()["registry_auth"] == {
        "registry": GOOGLE_HOST, "username": "oauth2accesstoken", "password": google.tokens[0], "expires_at": "2026-11-03T15:04:59Z",
    }  # fmt: skip
    assert "private_key" not in answer.text


async def test_what_lasts_is_a_409_that_says_what_to_do(house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr) -> None:
    ecr.errors[GET_TOKEN] = 400, "AccessDeniedException"
    token = await agent_with(house, alice, (await store(house)).id)
    for _ in range(3):
        answer = await provision(house, token)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "token-not-minted")
    assert answer.json()["detail"] == (
        "There is no token of ecr-acme for the image ubuntu-custom. AWS refuses ecr:GetAuthorizationToken (AccessDeniedException)."
        " Allow ecr:GetAuthorizationToken on every resource (*), as the policy AmazonEC2ContainerRegistryPullOnly does."
    )
    assert (await rows(house))[0] == ("denied", "token-not-minted")
    assert ecr.asked == {GET_TOKEN: 1}
    assert "Never" not in (await alice.get("/agents")).text.partition("rack1-node07")[2][:400], "it is seen that the agent was here"


async def test_what_may_go_well_soon_is_a_503(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's, between its tries
    ecr.errors[GET_TOKEN] = 500, "ServerException"
    token = await agent_with(house, alice, (await store(house)).id)
    answer = await provision(house, token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.json()["type"].rpartition("/")[2] == "token-not-minted"
    assert "AWS cannot answer ecr:GetAuthorizationToken now (ServerException)" in answer.json()["detail"]
    ecr.errors.clear()
    clocked.advance(FAILED)
    assert (await provision(house, token)).status_code == 200


async def test_a_value_that_does_not_open_mints_nothing(house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr) -> None:
    token = await agent_with(house, alice, (await store(house)).id)
    changed = str(replace(KEY, role_arn="arn:aws:iam::666666666666:role/theirs"))
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credentials SET parameters = :changed", {"changed": changed})
    answer = await provision(house, token)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "does-not-open")
    assert not ecr.asked


async def test_a_credential_that_was_changed_while_its_token_was_minted_is_decided_again(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr
) -> None:
    credential = await store(house)
    token = await agent_with(house, alice, credential.id)
    ecr.hang.clear()
    asking = asyncio.create_task(provision(house, token))
    assert await asyncio.to_thread(ecr.came.wait, 10)
    secret = Secret(SECRET_ACCESS_KEY.encode())
    await house.store.credentials.save(house.alice.actor, credential.id, ecr_fields(), secret, credential.version)
    ecr.hang.set()
    answer = await asking
    assert answer.status_code == 200
    assert answer.json()["registry_auth"]["password"] == ecr.tokens[1]
    assert [row["secret_version"] for row in await house.audit() if row["action"] == "registry_credential.release"] == [2]


async def test_a_report_that_quotes_the_token_is_kept_without_it(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr
) -> None:
    token = await agent_with(house, alice, (await store(house)).id)
    handed = (await provision(house, token)).json()
    clocked.advance(10 * HOUR)
    await provision(house, token)  # and a second one is minted meanwhile
    quoted = f"denied: {handed['registry_auth']['password']} or {ecr.tokens[1]}"
    client = await house.client()
    report = {"provision_id": handed["provision_id"], "outcome": "failed", "error": quoted}
    answer = await client.post("/api/v1/provision/result", json=report, headers=bearer(token))
    assert answer.status_code == 200
    stored = await house.store.database.fetch_one("SELECT error FROM provision_results")
    assert stored == {"error": "denied: [withheld] or [withheld]"}
    reported = [row["detail"] for row in await house.audit() if row["action"] == "agent.report"]
    assert reported == [f"failed: {REFERENCE}"]


async def quoted(house: House, token: str, handed: dict[str, Any]) -> object:
    """What is kept of a report that quotes what was handed over."""
    client = await house.client()
    error = f"denied: {handed['registry_auth']['password']}"
    report = {"provision_id": handed["provision_id"], "outcome": "failed", "error": error}
    assert (await client.post("/api/v1/provision/result", json=report, headers=bearer(token))).status_code == 200
    row = await house.store.database.fetch_one("SELECT error FROM provision_results")
    return (row or {})["error"]


@pytest.mark.parametrize("restart", [False, True])
async def test_a_token_of_a_value_that_was_replaced_since_is_withheld_too(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr, restart: bool
) -> None:
    credential = await store(house)
    token = await agent_with(house, alice, credential.id)
    handed = (await provision(house, token)).json()
    secret = Secret(SECRET_ACCESS_KEY.encode())
    await house.store.credentials.save(house.alice.actor, credential.id, ecr_fields(), secret, credential.version, keep=0)
    if restart:
        house.store.sign_ins.tokens._kept.clear()
    assert await quoted(house, token, handed) == "denied: [withheld]"


async def test_a_password_that_was_replaced_since_and_is_kept_is_withheld_too(house: House, alice: httpx2.AsyncClient) -> None:
    fields = CredentialFields("ghcr", "ghcr", "", "ghcr.io", AuthMethod.PASSWORD, "acme-bot")
    credential = await store(house, fields, b"hunter2-but-long")
    token = await agent_with(house, alice, credential.id, "ghcr.io/acme/ubuntu:24.04")
    handed = (await provision(house, token)).json()
    await house.store.credentials.save(house.alice.actor, credential.id, fields, Secret(b"another one"), credential.version)
    assert await quoted(house, token, handed) == "denied: [withheld]"


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(("tokens", "apart"), [(4, 15 * MINUTE), (8, 7 * MINUTE + 31 * SECOND)], ids=["too old", "no longer fresh"])
async def test_every_token_that_is_still_alive_is_withheld(
    house: House, alice: httpx2.AsyncClient, google: GoogleTokenEndpoint, tokens: int, apart: int, restart: bool
) -> None:
    key = service_account_key()
    google.know(key)
    token = await agent_with(house, alice, (await store(house, google_fields(), key)).id, f"{GOOGLE_HOST}/acme/images/ubuntu:24.04")
    handed = (await provision(house, token)).json()
    minting = house.store.sign_ins.tokens
    if restart:
        minting._kept.clear()
    for _ in range(1, tokens):
        house.clock.advance(apart)
        await provision(house, token)
        await asyncio.gather(*minting._running.values())
    assert len(google.tokens) == tokens
    assert await quoted(house, token, handed) == "denied: [withheld]"


async def test_an_expired_one_is_refused_from_that_moment_on(house: House, alice: httpx2.AsyncClient) -> None:
    fields = CredentialFields("ghcr", "ghcr", "", "ghcr.io", AuthMethod.PASSWORD, "acme-bot")
    until = house.clock() + DAY
    credential = await store(house, replace(fields, expires_at=until, expiry_source="typed"), b"hunter2-but-long")
    token = await agent_with(house, alice, credential.id, "ghcr.io/acme/ubuntu:24.04")
    for _ in range(3):  # so that its row is kept
        answer = await provision(house, token)
        assert answer.json()["registry_auth"]["expires_at"] == "2026-11-04T14:05:00Z"
    house.clock.advance(DAY - 1)
    assert (await provision(house, token)).status_code == 200
    house.clock.advance(1)
    answer = await provision(house, token)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "credential-expired")
    assert answer.json()["detail"] == "The registry credential ghcr expired on 4 Nov 2026, 14:05 UTC. Enter a new value on its page."
    assert (await rows(house))[-1] == ("denied", "credential-expired")


async def test_the_servers_own_role_goes_to_nobody_where_it_is_off(
    house: House, alice: httpx2.AsyncClient, clocked: TestClock, ecr: AwsEcr
) -> None:
    credential = await store(house, ecr_fields(EcrParameters(KEY.region)), b"")
    answer = await provision(house, await agent_with(house, alice, credential.id))
    assert answer.status_code == 409
    assert "WEBAPP_AWS_OWN_ROLE" in answer.json()["detail"]
    assert not ecr.asked
