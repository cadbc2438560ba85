"""A canary password is stored, used and mistyped, and then looked for everywhere that it must not be."""

import re

import httpx2
from playwright.sync_api import Page, expect

from e2e import steps
from e2e.server import Server
from tests.real.canary import CANARY, found_in


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
    # A secret, mistyped, replaced and waiting in an import; and in the user data of the image.
    for name, value in (("no name", CANARY), ("DB_PASSWORD", CANARY)):
        page.goto("/secrets/new")
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("Value", exact=True).fill(value)
        steps.save(page)
    expect(page.get_by_role("link", name="DB_PASSWORD", exact=True)).to_be_visible()
    page.goto("/secrets/import")
    page.get_by_label("Lines of a .env file").fill(f"DB_PASSWORD='{CANARY}'\nbad name={CANARY}\n")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("0 new secrets, 1 replaced, 1 refused.")).to_be_visible()
    answers.append((page.url, page.content().encode()))
    steps.add_image(page, "ubuntu", "registry.example/acme/ubuntu:1", "private")
    page.get_by_role("link", name="ubuntu", exact=True).click()
    page.get_by_label("User data", exact=True).fill("pw: {{ secrets.DB_PASSWORD|tojson }}\nb64: {{ secrets.DB_PASSWORD|b64encode }}\n")
    page.get_by_role("button", name="Preview user data").click()
    expect(page.locator(".preview pre")).to_contain_text("••••")
    answers.append((page.url, page.content().encode()))
    steps.save(page)
    expect(page.get_by_text("Image saved.")).to_be_visible()
    token = steps.make_bootstrap_token(page)
    cookies = {str(cookie["name"]): str(cookie["value"]) for cookie in page.context.cookies()}
    with httpx2.Client(base_url=server.url) as agent, httpx2.Client(base_url=server.url, cookies=cookies) as member:
        enrolled = agent.post("/api/v1/enroll", json={"name": "rack1"}, headers={"Authorization": f"Bearer {token}"}).json()
        bearer = {"Authorization": f"Bearer {enrolled['agent_token']}"}
        assert agent.get("/api/v1/provision", headers=bearer).status_code == 409
        steps.choose_image(page, "rack1", "ubuntu")
        handed = agent.get("/api/v1/provision", headers=bearer)
        assert found_in(handed.json()["registry_auth"]["password"].encode()), "the agent is handed it"
        assert found_in(handed.json()["user_data"].encode()), "here, too"
        for query in ("?format=yaml", "?format=docker-config&x=1"):
            agent.get("/api/v1/provision" + query, headers=bearer)
        answers += [(url, member.get(url).content) for url in crawl(member)]
    assert len(answers) > 20
    assert [(url, found_in(body)) for url, body in answers if found_in(body)] == []
    log = server.log.read_bytes()
    assert b"method=GET path=/images" in log, "the log was on"
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
