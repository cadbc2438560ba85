"""Requests that are known to have brought servers like this one down, or to have been read differently by two of them."""

from webapp.web.forms import MOST_BODY

ALIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
MULTIPART = b"multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="email"\r\n\r\nx\r\n'
END = b"--b--\r\n"
FULL = MOST_BODY - 1000


def post(body: bytes, content_type: bytes, path: bytes = b"/login", *more: bytes) -> bytes:
    """A request as a browser sends it from one of our own pages."""
    lines = (
        b"POST %b HTTP/1.1" % path,
        b"Host: x",
        b"Sec-Fetch-Site: same-origin",
        b"Content-Type: " + content_type,
        b"Content-Length: %d" % len(body),
        *more,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


FORMS: dict[str, tuple[bytes, bytes, int]] = {
    "CVE-2024-24762: a content type that a regular expression never ends with": (
        b'application/x-www-form-urlencoded; !="' + b"\\" * 8_000,
        b"email=x",
        422,
    ),
    "CVE-2024-53981: line ends before the first boundary": (MULTIPART, b"\r\n" * (FULL // 2) + PART + END, 422),
    "CVE-2024-53981: line feeds before the first boundary": (MULTIPART, b"\n" * FULL + PART + END, 422),
    "CVE-2024-53981: anything after the last one": (MULTIPART, PART + END + b"\r\nx" * (FULL // 3), 422),
    "CVE-2026-40347: a large preamble": (MULTIPART, b"x" * FULL + b"\r\n" + PART + END, 422),
    "CVE-2026-40347: a preamble of half boundaries": (MULTIPART, b"\r\n--" * (FULL // 4) + b"\r\n" + PART + END, 422),
    "CVE-2026-42561: a part with many headers": (MULTIPART, b"--b\r\n" + b"X: y\r\n" * (FULL // 6) + b"\r\nx\r\n" + END, 422),
    "CVE-2026-42561: a part with a large header": (MULTIPART, b"--b\r\nX: " + b"y" * FULL + b"\r\n\r\nx\r\n" + END, 422),
    "CVE-2026-42561: a part with a large name of a header": (MULTIPART, b"--b\r\n" + b"y" * FULL + b": x\r\n\r\nx\r\n" + END, 422),
    "CVE-2026-53539: semicolons": (b"application/x-www-form-urlencoded", b"a;" * (FULL // 2), 422),
    "CVE-2024-47874: a field without an end": (MULTIPART, PART[:-2] + b"x" * FULL, 422),
    "as many fields as there is room for": (b"application/x-www-form-urlencoded", b"a&" * (FULL // 2), 413),
    "as many parts as there is room for": (MULTIPART, PART * (FULL // len(PART)) + END, 413),
    "as many files": (MULTIPART, PART.replace(b'"\r\n', b'"; filename="x"\r\n') * 3 + END, 413),
    "a field beyond 64 KiB": (b"application/x-www-form-urlencoded", b"email=" + b"x" * 65_537, 413),
    "a name beyond 64 KiB": (b"application/x-www-form-urlencoded", b"x" * FULL, 422),
    "a part of almost boundaries": (MULTIPART.replace(b"=b", b"=" + b"-" * 60), b"--" + b"-" * FULL, 422),
    "a part that is full of half boundaries": (MULTIPART, PART[:-3] + b"\r\n--" * (FULL // 4) + END, 422),
    "a long boundary": (MULTIPART[:-1] + b"b" * 20_000, b"--" + b"b" * 20_000 + b"\r\n" + b"\r\n--bb" * 30_000, 422),
    "no boundary": (b"multipart/form-data", PART + END, 422),
    "many parameters": (b"multipart/form-data" + b"; a=b" * 4_000 + b"; boundary=b", PART + END, 422),
    "percent signs": (b"application/x-www-form-urlencoded", b"email=" + b"%" * 60_000, 422),
    "plus signs and no end": (b"application/x-www-form-urlencoded", b"+" * FULL, 422),
}
"""By name: the content type, the body, and the status of the answer."""

JSON: dict[str, bytes] = {
    "deep lists": b"[" * FULL,
    "deep objects": b'{"a":' * (FULL // 5),
    "a number of many digits": b'{"name":' + b"9" * FULL + b"}",
    "an exponent": b'{"name": 1e999999999}',
    "one key again and again": b"{" + b'"name":"a",' * (FULL // 11) + b'"name":1}',
    "escapes": b'{"name":"' + b"\\ud800" * (FULL // 6) + b'"}',
    "no text": b"\xff\xfe" * (FULL // 2),
    "nothing": b"",
}
"""Documents that are answered with 422."""

HEADS: dict[str, tuple[bytes, int | None]] = {
    "hundreds of cookies": (b"GET /login HTTP/1.1\r\nHost: x\r\n" + b"Cookie: a=b; session=c\r\n" * 600 + b"\r\n", 200),
    "one cookie of many": (b"GET /login HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=;" * 9_000 + b"\r\n\r\n", 200),
    "CVE-2024-7592: a cookie of backslashes": (b'GET /login HTTP/1.1\r\nHost: x\r\nCookie: session="' + b"\\" * 20_000 + b'"\r\n\r\n', 200),
    "many query parameters": (b"GET /login?" + b"a=&" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    "40,000 query parameters": (b"GET /login?" + b"a=&" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    "a long path": (b"GET /" + b"a/" * 14_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a path of dots": (b"GET /static/" + b"../" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a path of encoded dots": (b"GET /static/" + b"%2e%2e%2f" * 3_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "a NUL in a path": (b"GET /static/%00app.css HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    "many things to accept": (b"GET /nowhere HTTP/1.1\r\nHost: x\r\nAccept: " + b"a/b;q=0.1," * 2_800 + b"\r\n\r\n", 404),
    "many languages": (b"GET /login HTTP/1.1\r\nHost: x\r\nAccept-Language: " + b"a-b-c;q=0.1," * 2_000 + b"\r\n\r\n", 200),
    "CVE-2025-62727: many ranges": (b"GET /static/app.css HTTP/1.1\r\nHost: x\r\nRange: bytes=" + b"0-0," * 7_000 + b"\r\n\r\n", None),
    "CVE-2025-62727: many digits": (b"GET /static/app.css HTTP/1.1\r\nHost: x\r\nRange: bytes=" + b"0" * 28_000 + b"\r\n\r\n", None),
    "many validators": (b"GET /static/app.css HTTP/1.1\r\nHost: x\r\nIf-None-Match: " + b'"a",' * 7_000 + b"\r\n\r\n", 200),
    "a date that is none": (b"GET /static/app.css HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: " + b"9" * 28_000 + b"\r\n\r\n", 200),
    "CVE-2026-48710: a host that is a path": (b"GET /images HTTP/1.1\r\nHost: x/login?\r\n\r\n", 303),
    "many headers": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"A:\r\n" * 7_000 + b"\r\n", 200),
    "too many headers": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 40_000 + b"\r\n", 431),
    "a header without an end": (b"GET /livez HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 200_000, 431),
    "many who forwarded": (b"GET /login HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + b"127.0.0.1," * 2_800 + b"\r\n\r\n", 200),
    "an upgrade": (b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: upgrade, http2-settings\r\nUpgrade: h2c\r\n\r\n" + ALIVE, 200),
    "a tunnel": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 400),
    "HTTP/2 without asking": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500, 400),
}
"""Heads, and the status of the answer; None where there are several."""

SMUGGLED: dict[str, bytes] = {
    "a length and chunks": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
    "chunks and a length": b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
    "two lengths in one": b"Content-Length: 5, 5\r\n\r\nhello",
    "a length with a sign": b"Content-Length: +5\r\n\r\nhello",
    "a length below nothing": b"Content-Length: -5\r\n\r\nhello",
    "a length in another base": b"Content-Length: 0x5\r\n\r\nhello",
    "a length beyond all numbers": b"Content-Length: 99999999999999999999999\r\n\r\nhello",
    "another encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an encoding behind chunks": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a folded line": b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n",
    "a folded encoding": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"Content-Length : 5\r\n\r\nhello",
    "a line that ends with a line feed": b"X: a\nContent-Length: 5\r\n\r\nhello",
    "a head that ends with line feeds": b"Content-Length: 5\n\nhello",
    "a line that ends with a carriage return": b"X: a\rContent-Length: 5\r\n\r\nhello",
    "a NUL": b"X: a\x00b\r\n\r\n",
    "a chunk beyond all numbers": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk with a sign": b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "a chunk in another base": b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk with a blank": b"Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
    "a chunk that ends with a line feed": b"Transfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n",
    "a chunk that is longer than it says": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    "an extension with a line feed": b"Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
}
"""What follows the first lines of a POST, and is answered with 400."""

FRAMING: dict[str, bytes] = {
    "extensions": b"1;" + b"a" * 100_000,
    "many extensions": b"1;a=b\r\nx\r\n" + b"".join(b"1;%b\r\nx\r\n" % (b"a" * 2_000) for _ in range(50)),
    "a trailer without an end": b"0\r\nX: " + b"a" * 100_000,
    "many trailers": b"0\r\n" + b"X: a\r\n" * 10_000,
}
"""Parts of a body in chunks that are answered with 400."""
