"""How long the pages of a very large account take: any page, any sort, and both ways to search."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import httpx2

from bench.furnish import EMAIL, PASSWORD
from webapp.credentials.repository import ORDERS

TIMES = 40


@dataclass(frozen=True)
class Timed:
    """Milliseconds from sending the request to having read the answer."""

    p50: float
    p95: float
    most: float


def pages(url: str, records: int) -> dict[str, Timed]:
    """Time the list of the registry credentials and its neighbours, signed in, with so many records of each kind."""
    chance = random.Random(1)  # noqa: S311  a fair choice

    def name(kind: str) -> str:
        return f"{kind}-{chance.randrange(records):07}"

    def behind(order: str) -> str:
        keys = {"registry": [f"r{chance.randrange(1000)}.example.com", name("credential")], "": [name("credential")]}
        return "\n".join(keys.get(order, [str(_at(chance)), "8"]))

    def sorted_by(order: str) -> Callable[[], str]:
        return lambda: _list("registry-credentials", order=order, after=behind(order))

    addresses: dict[str, Callable[[], str]] = {f"credentials, any page, by {order or 'name'}": sorted_by(order) for order in ORDERS}
    addresses |= {
        "credentials, by the whole name": lambda: _list("registry-credentials", q=name("credential")),
        "credentials, by how names begin": lambda: _list("registry-credentials", q=name("credential")[: chance.randrange(3, 17)]),
        "credentials, by a rare part of a name": lambda: _list("registry-credentials", q=f"{chance.randrange(records):06}", **_INSIDE),
        "credentials, by a part that is in none": lambda: _list("registry-credentials", q="zzz"),
        "images, any page": lambda: _list("images", after=name("image")),
        "agents, any page": lambda: _list("agents", after=name("rack")),
        "agents, by how names begin": lambda: _list("agents", q=name("rack")[: chance.randrange(3, 10)]),
        "audit log, the newest": lambda: "/audit",
    }
    with httpx2.Client(base_url=url, headers={"Sec-Fetch-Site": "same-origin"}, timeout=60) as client:
        answer = client.post("/login", data={"email": EMAIL, "password": PASSWORD})
        if answer.status_code != 303:
            raise RuntimeError(f"the benchmark cannot sign in: {answer.status_code}")
        return {what: _timed(client, address) for what, address in addresses.items()}


_INSIDE = {"in": "names"}


def _list(path: str, **values: str) -> str:
    return f"/{path}?{urlencode({name: value for name, value in values.items() if value})}"


def _at(chance: random.Random) -> int:
    return int((time.time() - chance.random() * 600) * 1000)


def _timed(client: httpx2.Client, address: Callable[[], str]) -> Timed:
    times = []
    for _ in range(TIMES):
        started = time.perf_counter()
        client.get(address(), headers={"HX-Request": "true"}).raise_for_status()
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    return Timed(times[len(times) // 2], times[len(times) * 95 // 100], times[-1])
