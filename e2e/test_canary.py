"""A canary password is stored, used and mistyped, and then looked for everywhere that it must not be."""

import base64
import re
import urllib.parse
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page

from e2e import steps
from e2e.server import Server

CANARY = "Kanarie+7f3a/9c=%Zwitschert"


def forms_of(secret: str) -> list[bytes]:
    """The secret as it may appear: raw, base64 (at each of the three offsets), hex and URL-encoded."""
    raw = secret.encode()
    forms = [
        raw,
        raw.hex().encode(),
        raw.hex().upper().encode(),
        urllib.parse.quote(secret, safe="").encode(),
        urllib.parse.quote_plus(secret).encode(),
    ]
    for offset in range(3):
        encoded = base64.b64encode(b"\x00" * offset + raw)
        whole = encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4]
        forms += [whole, whole.replace(b"+", b"-").replace(b"/", b"_")]
    return forms


def found_in(data: bytes, secret: str = CANARY) -> list[bytes]:
    return [form for form in forms_of(secret) if form in data]


@pytest.mark.parametrize("number", range(5))
def test_the_search_finds_one_that_is_planted(tmp_path: Path, number: int) -> None:
    planted = forms_of(CANARY)[number]
    assert found_in(b"before " + planted + b" after")
    assert found_in(b'{"auth": "' + base64.b64encode(b"acme-bot:" + CANARY.encode()) + b'"}'), "also where it is a part of what was encoded"


def test_nothing_holds_the_canary_but_the_agents_own_answer(page: Page, server: Server) -> None:
    answers: list[tuple[str, bytes]] = []
    page.on("response", lambda response: answers.append((response.url, b"")) if response.status in {301, 302, 303} else None)
    steps.set_up(page, server)
    steps.store_password(page, "private", "registry.example", "acme-bot", CANARY)
    # Mistyped: the same secret in a form that comes back with errors, twice.
    for name, host in (("private", "registry.example"), ("other", "not a host")):
        steps.new_credential(page)
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Registry URL").fill(host)
        page.get_by_label("Username").fill("acme-bot")
        page.locator("input[name=password]").fill(CANARY)
        with page.expect_response(re.compile("/registry-credentials$")) as answered:
            steps.save(page)
        assert answered.value.status == 422
        assert not found_in(answered.value.body())
    steps.add_image(page, "ubuntu", "registry.example/acme/ubuntu:1", "private")
    token = steps.make_bootstrap_token(page)
    cookies = {str(cookie["name"]): str(cookie["value"]) for cookie in page.context.cookies()}
    with httpx2.Client(base_url=server.url) as agent, httpx2.Client(base_url=server.url, cookies=cookies) as member:
        enrolled = agent.post("/api/v1/enroll", json={"name": "rack1"}, headers={"Authorization": f"Bearer {token}"}).json()
        bearer = {"Authorization": f"Bearer {enrolled['agent_token']}"}
        assert agent.get("/api/v1/provision", headers=bearer).status_code == 409
        steps.choose_image(page, "rack1", "ubuntu")
        handed = agent.get("/api/v1/provision", headers=bearer)
        assert found_in(handed.content), "the agent is handed it"
        for query in ("?format=yaml", "?format=docker-config&x=1"):
            agent.get("/api/v1/provision" + query, headers=bearer)
        answers += [(url, member.get(url).content) for url in crawl(member)]
    assert len(answers) > 20
    assert [(url, found_in(body)) for url, body in answers if found_in(body)] == []
    log = server.log.read_bytes()
    assert b"GET /images" in log, "the log was on"
    assert found_in(log + server.output.encode()) == []
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files), "the write-ahead log is among them"
    assert [(path.name, found_in(path.read_bytes())) for path in files if found_in(path.read_bytes())] == []
    everything = b"".join(path.read_bytes() for path in files)
    for secret in (token, enrolled["agent_token"], steps.PASSWORD, *cookies.values()):
        assert found_in(everything, secret) == [], "no token, session or password either"


def crawl(member: httpx2.Client) -> list[str]:
    """Every page that links lead to, as a member sees them."""
    seen: set[str] = set()
    todo = ["/registry-credentials"]
    while todo:
        url = todo.pop()
        if url in seen:
            continue
        seen.add(url)
        text = member.get(url).text
        todo += [
            link.replace("&amp;", "&") for link in re.findall(r'(?:href|hx-get|action)="(/[^"#]*)"', text) if not link.startswith("/logout")
        ]
    return sorted(seen)
