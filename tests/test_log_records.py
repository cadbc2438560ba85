"""Records with facts: the same redaction for all of them, in both layouts, and for the quick way of a request's line, too."""

import io
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.log import get_logger, lines, log_request, set_up_logging
from webapp.log.lines import RENDERERS
from webapp.log.redaction import redact, redacted
from webapp.log.requests import REQUESTS, RequestLines
from webapp.setting_values import LogFormat
from webapp.vault import Secret, mint

CANARY = "c4n4ry-7Zp"

WEBAPP = Path(__file__).resolve().parent.parent / "webapp"

Read = Callable[[], str]


@pytest.fixture(params=["text", "json"])
def layout(request: pytest.FixtureRequest) -> LogFormat:
    found: LogFormat = request.param
    return found


@pytest.fixture
def log(layout: LogFormat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Read]:
    root, ours = logging.getLogger(), logging.getLogger("webapp")
    before = (root.handlers[:], root.level, ours.level, sys.excepthook, threading.excepthook)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    set_up_logging("debug", layout)
    yield lambda: written.getvalue() + capsys.readouterr().err  # the lines of requests go to what standard error is just now
    logging.captureWarnings(capture=False)
    root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[3], before[4]
    root.setLevel(before[1])
    ours.setLevel(before[2])
    REQUESTS.layout = "text"


@dataclass
class Draft:
    """Something that shows its fields, as careless things do."""

    password: str


class Broken:
    """Something that cannot even be shown."""

    def __str__(self) -> str:
        raise ValueError(CANARY)


FACTS: list[tuple[str, object]] = [
    ("password", CANARY),
    ("password", 4711),
    ("new_password", {"typed": CANARY}),
    ("agent_token", CANARY.encode()),
    ("Authorization", f"Basic {CANARY}"),
    ("cookies", [CANARY]),
    ("secrets", {"DEPLOY_KEY": CANARY}),
    ("service_account_key", Secret(CANARY.encode())),
    ("form", {"username": "ana", "password": CANARY}),
    ("headers", [(b"authorization", f"Bearer {CANARY}xxxxxxxxxxxx".encode())]),
    ("deep", [[{"token": CANARY}], ({"x": {"passphrase": CANARY}},)]),
    ("error", RuntimeError(f"password={CANARY}")),
    ("draft", Draft(CANARY)),
    ("body", f'{{"password": "{CANARY}"}}'.encode()),
    ("raw", bytearray(f"token={CANARY}".encode())),
    ("url", f"postgresql://ana:{CANARY}@db.example.com/store"),
    ("broken", Broken()),
    (f"password={CANARY}", "in a name"),
    ("too_deep", [[[[[[[[CANARY]]]]]]]]),
]


@pytest.mark.parametrize(("name", "value"), FACTS, ids=[f"{name[:12]}-{type(value).__name__}" for name, value in FACTS])
def test_what_has_the_name_or_the_shape_of_a_secret_is_withheld(log: Read, name: str, value: object) -> None:
    get_logger("webapp.x").info("something happened", **{name: value})
    printed = log()
    assert CANARY not in printed
    assert "something happened" in printed
    assert "4711" not in printed
    assert printed.count("\n") == 1


def test_names_in_a_mapping_are_looked_at_too(log: Read) -> None:
    token = mint("a").text.reveal().decode("ascii")
    get_logger("webapp.x").info("x", seen={token: 1, "n": 2.5, "none": None, "yes": True}, kept=[1, "two"])
    printed = log()
    assert token[-12:] not in printed
    assert "two" in printed
    assert "2.5" in printed


def test_exceptions_and_arguments_go_through_the_same_processors(log: Read) -> None:
    token = mint("a").text.reveal().decode("ascii")
    try:
        raise ValueError(f"Cookie: session={CANARY}")
    except ValueError:
        get_logger("webapp.x").exception("it failed", password=CANARY)
        logging.getLogger("webapp.x").exception("it failed with %s and %(x)s" if not token else "it failed with %s", token)
        logging.getLogger("anyone").warning("a library: %s", {"password": CANARY}, stack_info=True)
    printed = log()
    assert CANARY not in printed
    assert token[-12:] not in printed
    assert printed.count("Traceback (most recent call last):") == 2
    assert "Stack (most recent call last):" in printed


@pytest.mark.parametrize("layout", ["json"], indirect=True)
def test_in_json_every_line_is_an_object(log: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "process", "4711")
    forged = 'x", "level": "CRITICAL\n{"time": "2026"}\u202e\ud800'
    get_logger("webapp.x").warning(forged, number=3, text=forged, large=10**30, time="now", level="none")
    try:
        raise ValueError("forced")
    except ValueError:
        get_logger("webapp.x").exception("it failed")
    log_request("GET", "/images", 200, 0.0123, "0123456789abcdef", "192.0.2.7", "member", "0123456789abcdEF")
    log_request("POST", "/api_tokens/ä", 422, 1.0, "0123456789abcdef", None)
    records = [json.loads(line) for line in log().splitlines()]
    assert [list(record)[:5] for record in records] == [["time", "level", "logger", "process", "event"]] * 4
    assert (records[0]["event"], records[0]["text"], records[0]["number"], records[0]["level"]) == (forged, forged, 3, "WARNING")
    assert records[1]["exception"].splitlines()[-1] == "ValueError: forced"
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time")) for record in records)
    assert records[2] == {
        "level": "INFO",
        "logger": "webapp.request",
        "process": 4711,
        "event": "answered",
        "method": "GET",
        "path": "/images",
        "status": 200,
        "ms": 12.3,
        "request_id": "0123456789abcdef",
        "address": "192.0.2.7",
        "actor": "member",
        "accessor": "0123456789abcdEF",
    }
    assert (records[3]["path"], records[3]["address"]) == ("/api_tokens/ä", None)


@pytest.mark.parametrize("layout", ["text"], indirect=True)
def test_in_text_nothing_can_pass_for_another_fact_or_record(log: Read) -> None:
    get_logger("webapp.x").info("done", plain="a/b", blank="a b", forged='x" level=CRITICAL', line="a\nb\u202e", empty="", none=None)
    log_request("GET", "/x status=500\n2026-01-01T00:00:00.000Z INFO webapp: forged", 404, 0.1, "0123456789abcdef", "2001:db8::1")
    done, request = log().splitlines()
    assert done.endswith(r' webapp.x: done plain=a/b blank="a b" forged="x\" level=CRITICAL" line="a\nb\u202e" empty="" none=None')
    assert r' path="/x status=500\n2026-01-01T00:00:00.000Z INFO webapp: forged" status=404 ' in request


PIECES = [*'/.-:_=% "\n0', "aZ", "rc_a_", "token", "password=", "cookie:", "authorization", "bearer "]
SAID = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)


@given(
    method=st.sampled_from(["GET", "POST", "BREW=", "get"]),
    path=st.one_of(SAID, st.sampled_from(["/api/v1/provision", "/" + "a" * 300]), st.text(max_size=9)),
    request_id=st.one_of(st.just("0123456789abcdef"), SAID),
    address=st.one_of(st.none(), st.just("192.0.2.7"), st.just("2001:db8::1"), SAID),
    who=st.one_of(st.just(("", "")), st.just(("api_token", "0123456789abcdEF")), st.tuples(SAID, SAID)),
    layout=st.sampled_from(["text", "json"]),
)
def test_the_quick_way_writes_what_the_processors_make(
    method: str, path: str, request_id: str, address: str | None, who: tuple[str, str], layout: LogFormat
) -> None:
    logging.getLogger("webapp.request").setLevel(logging.INFO)
    quick = RequestLines()
    quick.layout = layout
    quick._lines = [""]  # so that nothing is written
    quick.add(method, path, 200, 0.01234, request_id, address, *who)
    logging.getLogger("webapp.request").setLevel(logging.NOTSET)
    (line,) = quick._lines[1:]
    moment = re.search(r"\d{4}-\S{18}Z", line)
    assert moment is not None
    event: dict[str, object] = {"time": moment[0], "level": "INFO", "logger": "webapp.request", "event": "answered"}
    event |= {"method": method, "path": path[:200]}
    event |= {"status": 200, "ms": 12.3, "request_id": request_id, "address": address}
    event |= {"actor": who[0], "accessor": who[1]} if who[0] else {}
    assert line == RENDERERS[layout](None, "info", redacted(None, "info", event)) + "\n"


def test_there_is_one_way_of_logging() -> None:
    sources = {path.relative_to(WEBAPP): path.read_text(encoding="utf-8") for path in WEBAPP.rglob("*.py")}
    others = [str(path) for path, text in sources.items() if "logging.getLogger(__name__)" in text]
    assert others == [], "they take `get_logger` from webapp.log, and say their facts by name"


@pytest.mark.parametrize(
    "text", ["a-" * 8_000, "_.a" * 8_000, "x-" * 8_000 + "token", "a+" * 8_000], ids=["dashes", "dots", "token", "plus"]
)
def test_a_long_text_takes_no_square_of_its_length(text: str) -> None:
    before = time.thread_time()
    assert redact(text) == text
    assert time.thread_time() - before < 1.0, "it was 12 s"
