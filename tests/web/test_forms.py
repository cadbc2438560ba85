"""Reading a form: text as people typed it, files byte for byte, limits, and nothing that shows a value."""

from collections.abc import Mapping

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message

from webapp.errors import Invalid, TooLarge
from webapp.vault import Secret
from webapp.web.forms import MOST_FIELDS, MOST_PART, Form, Upload, read_form

pytestmark = pytest.mark.anyio

URLENCODED = "application/x-www-form-urlencoded"


async def read(body: bytes, content_type: str = URLENCODED) -> Form:
    """Read a form that came with this body."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", content_type.encode())], "app": Starlette()}
    return await read_form(Request(scope, receive))


async def submitted(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]] | None = None, *, multipart: bool) -> Form:
    """Read a form as a browser sends it, in either encoding."""
    parts = {name: (None, value) for name, value in fields.items()} | dict(files or {})
    request = httpx2.Request("POST", "http://x", files=parts) if multipart else httpx2.Request("POST", "http://x", data=fields)
    return await read(request.read(), request.headers.get("content-type", URLENCODED))


@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "urlencoded"])
@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("plain", "plain"),
        ("two\r\nlines\r\n", "two\nlines\n"),
        ("two\nlines", "two\nlines"),
        (" spaces stay ", " spaces stay "),
        ("a+b&c=d;%41é🐎", "a+b&c=d;%41é🐎"),
        ("\x00", "\x00"),
    ],
)
async def test_text_is_what_was_typed_whatever_the_encoding(sent: str, kept: str, multipart: bool) -> None:
    form = await submitted({"password": sent}, multipart=multipart)
    assert form.text("password") == kept
    assert form.secret("password") == Secret(kept.encode())
    assert form.has("password")


@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "urlencoded"])
async def test_empty_is_no_secret_and_absent_is_no_field(multipart: bool) -> None:
    form = await submitted({"password": "", "other": "x"}, multipart=multipart)
    assert (form.has("password"), form.text("password"), form.secret("password")) == (True, "", None)
    assert (form.has("absent"), form.text("absent"), form.secret("absent"), form.upload("absent")) == (False, "", None, None)


@pytest.mark.parametrize("content", [b"{}", b"\r\n{\r\n}\r\n", b"\xef\xbb\xbf{}", b"\xff\x00\xfe", b"{}\n", bytes(range(256))])
async def test_a_file_comes_byte_for_byte(content: bytes) -> None:
    form = await submitted({"name": "x"}, {"file": ("key.json", content)}, multipart=True)
    assert form.upload("file") == Upload("key.json", Secret(content))
    assert form.text("file") == "", "a file is no text"
    assert form.text("name") == "x"


async def test_a_file_input_without_a_file_is_none_and_an_empty_file_is_one() -> None:
    nothing = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--b--\r\n'
    )
    form = await read(nothing, "multipart/form-data; boundary=b")
    assert (form.upload("file"), form.has("file")) == (None, False)
    form = await submitted({}, {"file": ("empty.json", b"")}, multipart=True)
    assert form.upload("file") == Upload("empty.json", Secret(b""))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("0", 0),
        ("", None),
        ("-1", None),
        ("1.0", None),
        ("x", None),
        ("1e3", None),
        ("٣", None),
        ("²", None),
        ("1_000", None),
        ("9" * 15, 10**15 - 1),
        ("9" * 16, None),
    ],
)
async def test_a_number_is_a_whole_one_or_none(text: str, number: int | None) -> None:
    assert (await submitted({"version": text}, multipart=False)).number("version") == number


@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "urlencoded"])
@pytest.mark.parametrize("unit", ["x", "é", "x\r\n", "%"])
async def test_a_field_may_be_as_long_as_the_limit_however_it_is_encoded(unit: str, multipart: bool) -> None:
    length = len(unit.replace("\r\n", "\n").encode())
    longest = unit * (MOST_PART // length)
    assert len((await submitted({"key": longest}, multipart=multipart)).text("key").encode()) == MOST_PART // length * length
    with pytest.raises(TooLarge, match=r"The field key is longer than the limit of 64 KiB\."):
        await submitted({"key": longest + unit}, multipart=multipart)


async def test_the_name_of_a_field_that_is_too_long_is_cut_and_its_value_is_not_said() -> None:
    with pytest.raises(TooLarge) as caught:
        await submitted({"n" * 500: "secret" * 20_000}, multipart=False)
    assert len(str(caught.value)) < 100
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("multipart", [True, False], ids=["multipart", "urlencoded"])
async def test_as_many_fields_as_the_limit(multipart: bool) -> None:
    fields = {f"field{number}": "x" for number in range(MOST_FIELDS)}
    assert (await submitted(fields, multipart=multipart)).text(f"field{MOST_FIELDS - 1}") == "x"
    with pytest.raises(TooLarge, match="40 fields and 1 file"):
        await submitted({**fields, "more": "x"}, multipart=multipart)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"no boundary", "multipart/form-data"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=b"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nsecret\r\n--b--\r\n", "multipart/form-data; boundary=b"),
    ],
)
async def test_what_is_no_form_is_refused_and_not_quoted(body: bytes, content_type: str) -> None:
    with pytest.raises(Invalid, match="could not be read") as caught:
        await read(body, content_type)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", ""])
async def test_another_type_of_body_has_no_fields(content_type: str) -> None:
    assert not (await read(b"name=x", content_type)).has("name")


@pytest.mark.parametrize("charset", ["no-such-charset", "latin-1", "punycode", "unicode_escape", "utf-16", "UTF-7"])
async def test_only_utf_8_is_taken_and_no_other_decoder_runs(charset: str) -> None:
    # 250 kB of punycode would take 20 s, in which nobody else is served.
    body = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + b"a" * 250_000 + b"\r\n--b--\r\n"
    for content_type in (f"multipart/form-data; boundary=b; charset={charset}", f'{URLENCODED}; charset="{charset}"'):
        with pytest.raises(Invalid, match="not in UTF-8"):
            await read(body, content_type)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "utf8"])
async def test_bytes_that_are_no_utf_8_do_not_break_it(charset: str) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="name"\r\n\r\n\xff\xfe\r\n--b--\r\n'
    assert (await read(body, f"multipart/form-data; boundary=b; charset={charset}")).has("name")
    assert (await read(b"name=%FF%FE", f"{URLENCODED}; charset={charset}")).secret("name") is not None


async def test_a_form_shows_no_value() -> None:
    form = await submitted({"password": "hunter2"}, {"file": ("key.json", b"hunter2")}, multipart=True)
    assert "hunter2" not in f"{form!r} {form!s} {form.upload('file')!r}"
