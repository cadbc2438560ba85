"""The authorisation matrix holds: every route answers everybody as its line says, and what is refused changes nothing."""

from collections.abc import Mapping

import httpx2
import pytest
from starlette.routing import Route

from tests.personas import House
from tests.web.callers import Callers, everybody, state
from tests.web.matrix import BODIES, CALLERS, JSON_BODIES, Line, lines, nameless
from tests.web.records import Records
from webapp.app import ROUTES

pytestmark = pytest.mark.anyio

ENGINES = ("sqlite",)  # who may do what; the pages' own tests ask the database on both

REFUSED = "lufn"
FROM_ELSEWHERE: list[dict[str, str]] = [
    *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "none")),
    *({"Origin": origin} for origin in ("https://evil.example", "http://localhost:8000", "null")),
    {},
]
"""What tells that a request is not from a page of ours, of browsers that say so and of those that do not."""
ALL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def methods_of(route: Route) -> set[str]:
    """What the route answers to, but for the HEAD that comes with a GET."""
    methods = set(route.methods or ())
    return methods - {"HEAD"} if "GET" in methods else methods


def routes() -> list[Route]:
    """The real table's."""
    return [route for route in ROUTES if isinstance(route, Route)]


def letter_of(answer: httpx2.Response) -> str:
    """What the matrix calls this answer."""
    status = answer.status_code
    if status == 401:
        return "u" if "www-authenticate" in answer.headers else "401 without WWW-Authenticate"
    if 300 <= status < 400 and answer.headers["location"].partition("?")[0] == "/login":
        return "s" if 'session=""; ' in answer.headers.get("set-cookie", "") else "l"
    named = {403: "f", 404: "n", **dict.fromkeys((400, 409, 412, 413, 422), "c")}
    return "o" if status < 400 else named.get(status, str(status))


async def ask(callers: Callers, line: Line, headers: dict[str, str], ids: dict[str, str], *, from_our_page: bool = True) -> str:
    """What the line's route answers, as a letter; the address and the form are about the records with these ids."""
    body = {name: value.format(**ids) if isinstance(value, str) else value for name, value in typed(line).items()}
    more: dict[str, object] = {} if not line.may_change else {"json": body} if line.key in JSON_BODIES else {"data": body}
    site = {"Sec-Fetch-Site": "same-origin"} if from_our_page else {}
    return letter_of(await callers.ask(line.method, line.address.format(**ids), {**site, **headers}, **more))


async def surprises(callers: Callers, records: Records, line: Line) -> list[str]:
    """What is otherwise than the line says."""
    found, headers = [], await callers.headers()
    names = (*line.records, *named_in_body(line))
    refused = [caller for caller, letter in zip(CALLERS, line.expected, strict=True) if letter in REFUSED]
    standing = await records.standing(names)
    before = await state(callers.house) if line.may_change else {}
    for caller, letter in zip(CALLERS, line.expected, strict=True):
        if caller in refused and (got := await ask(callers, line, headers[caller], standing)) != letter:
            found.append(f"{line.key} answers {got} to the {caller}, and not {letter}")
    if line.may_change and (after := await state(callers.house)) != before:
        changed = [table for table in after if after[table] != before[table]]
        found.append(f"{line.key} was refused to {', '.join(refused)}, and changed {changed}")
    for caller, letter in zip(CALLERS, line.expected, strict=True):
        if caller not in refused:
            ids = await records.fresh(names) if line.may_change else standing
            if (got := await ask(callers, line, headers[caller], ids)) != letter:
                found.append(f"{line.key} answers {got} to the {caller}, and not {letter}")
    return found


def named_in_body(line: Line) -> list[str]:
    """The records that the form is about, besides those in the address."""
    return [name for value in typed(line).values() for name in Line("", f"{value}", "").records if name != "number"]


def typed(line: Line) -> Mapping[str, str | int]:
    """What the form or the document of the line's request holds."""
    return BODIES.get(line.key) or JSON_BODIES.get(line.key) or {}


def test_every_route_has_its_line_and_every_line_its_route() -> None:
    there = {f"{method} {nameless(route.path)}" for route in routes() for method in methods_of(route)}
    told = [line.route for line in lines()]
    assert sorted(there - set(told)) == [], "these have no line in tests/web/matrix.py"
    assert sorted(set(told) - there) == [], "these lines have no route"
    assert len(told) == len(set(told)), "one line a route"
    keys = {line.key for line in lines()}
    assert {*BODIES, *JSON_BODIES} - keys == set(), "these forms are of no line"


async def test_everybody_is_answered_as_the_matrix_says(house: House) -> None:
    callers = await everybody(house)
    records = Records(house, callers.tokens["agent"])
    found = [surprise for line in lines() for surprise in await surprises(callers, records, line)]
    assert found == []


async def test_a_head_is_answered_as_its_get_is(house: House) -> None:
    callers = await everybody(house)
    records = Records(house, callers.tokens["agent"])
    headers = await callers.headers()
    heads = {nameless(route.path) for route in routes() if "HEAD" in (route.methods or ())}
    found = []
    for line in lines():
        if line.method != "GET" or nameless(line.path) not in heads:
            continue
        standing = await records.standing(tuple(line.records))
        for caller in ("nobody", "viewer", "other account's admin"):
            answer = await callers.ask("HEAD", line.address.format(**standing), headers[caller])
            wanted = line.expected[CALLERS.index(caller)]
            if letter_of(answer) not in {wanted, "405"} or answer.content:
                found.append(f"HEAD {line.path} answers {answer.status_code} to the {caller}, and not {wanted}")
    assert found == []


async def test_a_method_that_a_route_has_not_does_nothing(house: House) -> None:
    callers = await everybody(house)
    records = Records(house, callers.tokens["agent"])
    headers = await callers.headers()
    told: dict[str, set[str]] = {}
    for line in lines():
        told.setdefault(line.path, set()).add(line.method)
    for path in told:
        await records.standing(tuple(Line("", path, "").records))
    before, found = await state(house), []
    for path, methods in told.items():
        address = path.format(**await records.standing(tuple(Line("", path, "").records)))
        for method in ALL_METHODS:
            if method in methods or (method == "HEAD" and "GET" in methods):
                continue
            status = (await callers.ask(method, address, {"Sec-Fetch-Site": "same-origin", **headers["admin"]})).status_code
            if status not in {401, 404, 405}:
                found.append(f"{method} {path} answers {status}")
    assert found == []
    assert await state(house) == before


async def test_no_line_that_changes_something_takes_a_request_of_another_site(house: House) -> None:
    callers = await everybody(house)
    records = Records(house, callers.tokens["agent"])
    unsafe = [line for line in lines() if line.may_change and not line.path.startswith("/api/")]  # the API reads no cookie
    for line in unsafe:
        await records.standing((*line.records, *named_in_body(line)))
    cookie = (await callers.headers())["admin"]
    before, log, found = await state(house), await house.audit(), []
    for line in unsafe:
        standing = await records.standing((*line.records, *named_in_body(line)))
        for headers in FROM_ELSEWHERE:
            got = await ask(callers, line, {**cookie, **headers}, standing, from_our_page=False)
            if got != "f":
                found.append(f"{line.key} answers {got} to a request with {headers}")
    assert found == []
    assert await state(house) == before
    assert await house.audit() == log
    by_origin = {**cookie, "Origin": house.settings.public_url}
    ours = await ask(callers, lines("POST /secrets ooooo oooo oooooo")[0], by_origin, {"number": "7"}, from_our_page=False)
    assert ours == "o", "an Origin of ours is enough"


async def test_the_matrix_notices_what_is_otherwise(house: House) -> None:
    callers = await everybody(house)
    records = Records(house, callers.tokens["agent"])
    too_strict = lines("POST /secrets lffff llll llllll")[0]
    assert await surprises(callers, records, too_strict) == [
        "POST /secrets answers o to the editor, and not f",
        "POST /secrets answers c to the admin, and not f",  # the name is taken: the editor's request has changed something
        "POST /secrets answers o to the other account's admin, and not f",
        f"POST /secrets was refused to {', '.join(CALLERS)}, and changed ['secrets']",
    ]
    with pytest.raises(ValueError, match="for each of 15 callers"):
        lines("GET /images loo llll llll")
