"""The log: one line a record, and no secret in it, whatever was handed to it."""

import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterator

import pytest

from webapp.log import redact, set_up_logging
from webapp.log.requests import REQUESTS
from webapp.vault import mint

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ [\w.]+: .*")

CANARY = "c4n4ry-7Zp"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], sys.excepthook, threading.excepthook = before[0], before[2], before[3]
    root.setLevel(before[1])
    logging.getLogger("webapp").setLevel(logging.NOTSET)
    REQUESTS.layout = "text"


def token(kind: str) -> str:
    return mint(kind).text.reveal().decode("ascii")


@pytest.mark.parametrize("kind", ["a", "b", "p", "s"])
def test_it_withholds_a_token_and_keeps_its_accessor(kind: str) -> None:
    made = mint(kind)
    text = made.text.reveal().decode("ascii")
    for sentence in ("{}", "the token {} came", "x={}&y", "%22{}%22", "['{}']", "{}."):
        redacted = redact(sentence.format(text))
        assert text[-49:] not in redacted
        assert text[-12:] not in redacted
        assert made.accessor in redacted


def test_it_withholds_a_token_that_was_cut_off_or_wrongly_typed() -> None:
    text = token("a")
    assert text[26:40] not in redact(text[:40])
    assert "abcdefgh" not in redact("rc_b_abcdefgh")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: Basic {CANARY} and {CANARY}",
        f"Proxy-Authorization: {CANARY}",
        f"{{'authorization': 'Bearer {CANARY}', 'x': 1}}",
        f"[(b'authorization', b'Basic {CANARY}')]",
        f"Cookie: a=b; session={CANARY}",
        f"set-cookie: __Host-session={CANARY}; Secure",
        f"GET /setup?token={CANARY} HTTP/1.1",
        f"http://127.0.0.1:8000/setup?a=b&token={CANARY}#x",
        f"password={CANARY}&x=y",
        f"current_password={CANARY}",
        json.dumps({"password": CANARY, "username": "ana"}),
        json.dumps({"agent_token": f'quote" and {CANARY}'}),
        json.dumps({"type": "service_account", "private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"}),
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
        f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n{CANARY}",
        f"postgresql://ana:{CANARY}@db.example.com/store",
        f"bearer {CANARY}{'x' * 16}",
        f"Draft(username='ana', password='{CANARY} and {CANARY}')",
        f"Draft(secret=b'{CANARY}')",
    ],
)
def test_it_withholds_what_has_the_shape_of_a_secret(text: str) -> None:
    assert CANARY not in redact(text)
    assert "[withheld]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "GET /registry-credentials/new 200 3.4 ms 0123456789abcdef",
        "the basic rules of a bearer",
        "http://127.0.0.1:8000/setup",
        "password is wrong; authorization failed",
        "rc_a is no token",
        "token == other",
        "https://example.com:8443/a@b",
    ],
)
def test_it_leaves_the_rest_alone(text: str) -> None:
    assert redact(text) == text


def test_a_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    logging.getLogger("webapp.request").info("GET %s", "/a\n2026-01-01T00:00:00.000Z INFO webapp: forged\x1b[31m\u202e")
    (line,) = capsys.readouterr().err.splitlines()
    assert LINE.fullmatch(line)
    assert r"/a\n2026" in line
    assert r"\x1b[31m\u202e" in line


def test_of_several_processes_every_line_says_which_and_is_written_whole() -> None:
    program = (
        "import os\n"
        "from webapp.log import log_request, name_process, set_up_logging\n"
        "import asyncio, fcntl, logging\n"
        "if hasattr(fcntl, 'F_SETPIPE_SZ'):\n"
        "    fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, 4096)  # whoever reads the log is behind\n"
        "set_up_logging('info')\n"
        "async def serve():\n"
        "    for turn in range(20):\n"
        "        for number in range(200):\n"
        "            log_request('GET', '/api/v1/provision', 200, 0.001, f'{turn:08x}{number:08x}', '192.0.2.7')\n"
        "        await asyncio.sleep(0)\n"
        "    logging.getLogger('webapp.x').info('done')\n"
        "for child in range(2):\n"
        "    if os.fork() == 0:\n"
        "        name_process()\n"
        "        asyncio.run(serve())\n"
        "        os._exit(0)\n"
        "[os.wait() for child in range(2)]\n"
    )
    lines = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr.splitlines()
    request = re.compile(
        r"\S+Z INFO webapp\.request\[(\d+)\]: answered method=GET path=/api/v1/provision status=200 ms=1\.0"
        r" request_id=[0-9a-f]{16} address=192\.0\.2\.7"
    )
    done = [found[1] for line in lines if (found := re.fullmatch(r"\S+Z INFO webapp\.x\[(\d+)\]: done", line))]
    served = Counter(found[1] for line in lines if (found := request.fullmatch(line)))
    assert served == dict.fromkeys(done, 4000)
    assert len(lines) == 8002


def test_message_arguments_and_exceptions_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    texts = [token("a") for _ in range(5)]
    logger = logging.getLogger("webapp.x")
    logger.info(texts[0])  # noqa: LOG015, RUF100, G004
    logger.info("with %s", texts[1])
    logger.info("with %(t)s", {"t": texts[2]})
    try:
        try:
            raise ValueError(texts[3])
        except ValueError as error:
            raise RuntimeError(f"Authorization: Bearer {CANARY}\n2026-01-01T00:00:00.000Z INFO webapp: forged") from error
    except RuntimeError:
        logger.exception("failed with %s", texts[4])
    printed = capsys.readouterr().err
    assert "Traceback (most recent call last):" in printed
    assert "RuntimeError" in printed
    assert CANARY not in printed
    assert not [text for text in texts if text[-20:] in printed]
    records = [line for line in printed.splitlines() if not line.startswith("    ")]
    assert len(records) == 4, "a traceback's lines are indented, so that none of them can pass for a record"


def test_a_traceback_shows_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug")

    def work(value: str) -> None:
        raise ValueError("it failed")

    try:
        work(f"local-{__name__}")
    except ValueError:
        logging.getLogger("webapp").exception("failed")
    assert f"local-{__name__}" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["databases", "aiosqlite", "python_multipart.multipart", "sqlalchemy.engine", "asyncio", "httpx2", "uvicorn.error", "anyone"]
)
def test_libraries_are_held_at_warning(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("debug")
    logging.getLogger(name).info("values: %s", CANARY)
    logging.getLogger(name).warning("careful")
    logging.getLogger("webapp.x").debug("ours")
    printed = capsys.readouterr().err
    assert CANARY not in printed
    assert "careful" in printed
    assert "ours" in printed


def test_the_level_counts(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("warning")
    logging.getLogger("webapp.x").info("quiet")
    logging.getLogger("webapp.x").warning("loud")
    (line,) = capsys.readouterr().err.splitlines()
    assert "loud" in line


def test_a_record_that_does_not_fit_its_arguments_shows_neither(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    logging.getLogger("webapp.x").info("%d of them", CANARY)
    printed = capsys.readouterr().err
    assert CANARY not in printed
    assert "webapp.x" in printed


def test_what_ends_the_program_or_a_thread_is_redacted_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    sys.excepthook(ValueError, ValueError(token("s")), None)

    def work() -> None:
        raise ValueError(f"password={CANARY}")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    printed = capsys.readouterr().err
    assert printed.count("CRITICAL webapp: ") == 2
    assert CANARY not in printed
    assert "rc_s_" in printed
    assert "ValueError: password=[withheld]" in printed
    assert "rc_s_" in printed.split("[withheld]")[0]


def test_warnings_go_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("info")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"token={CANARY}", UserWarning, stacklevel=1)
    printed = capsys.readouterr().err
    assert "WARNING py.warnings: " in printed
    assert f"UserWarning: token=[withheld]" in printed.replace("\\n", "\n")  # noqa: F541, RUF100


def test_a_standard_error_that_is_closed_fails_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    set_up_logging("info")
    closed.close()
    logging.getLogger("webapp.test").error("nobody reads this")
