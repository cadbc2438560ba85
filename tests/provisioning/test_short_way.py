"""What fails on the short way is answered by the application, and is not decided anew when its row is written."""

from typing import Any

import httpx2
import pytest

from tests.personas import PASSWORD, House
from tests.stories import add_image, enrolled, store_credential
from webapp.provisioning.routes import hand_over_directly
from webapp.web.direct import directly

pytestmark = pytest.mark.anyio


class Request:
    """What the server hands over."""

    def __init__(self, token: str) -> None:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        self.scope: dict[str, Any] = {
            "type": "http", "method": "GET", "path": "/api/v1/provision", "raw_path": b"/api/v1/provision", "query_string": b"",
            "headers": headers, "client": ("192.0.2.7", 1), "server": ("x", 80), "scheme": "http", "root_path": "", "state": {},
        }  # fmt: skip
        self.answered: list[bytes] = []
        self.fell_back = False

    def answer(self, head: bytes, body: bytes) -> None:
        self.answered.append(head)

    def fall_back(self) -> None:
        self.fell_back = True


async def test_a_value_that_does_not_open_is_refused_by_the_one_row_that_there_is(house: House, alice: httpx2.AsyncClient) -> None:
    agent_id, token = await enrolled(house, alice)
    image = await add_image(alice, await store_credential(alice))
    await alice.post(f"/agents/{agent_id}", data={"image_id": image, "current_password": PASSWORD})
    async with house.store.database.transaction() as transaction:
        await transaction.execute("UPDATE registry_credentials SET secret_version = 9")
    request, sent = Request(token), []
    directly(lambda asked: hand_over_directly(asked, house.app.state.parts), house.settings)(request)
    await house.store.database.submit(lambda batch: None)  # the batch of the hand-over, or the one behind it
    assert (request.fell_back, request.answered) == (True, [])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await house.app({**request.scope, "app": house.app}, receive, send)
    assert sent[0]["status"] == 409
    released = [row for row in await house.audit() if row["action"] == "registry_credential.release"]
    assert [row["decision"] for row in released] == ["allowed", "denied"]
    assert {row["request_id"] for row in released} == {dict(sent[0]["headers"])[b"x-request-id"].decode()}
