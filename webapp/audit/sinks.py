"""Where signed heads go: to the end of a file, or to a collector by HTTP. A head that did not get there is not counted as exported."""

import http.client
import os
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from webapp.vault import Secret

SECONDS = 10
"""How long a collector may take to connect, and to answer."""

_MOST_ANSWER = 64 * 1024


class NotDelivered(Exception):
    """The head did not get there. The text is a sentence that tells no secret."""


def append_to(path: Path, line: str) -> None:
    """Put the line at the end of the file, made when it is not there, for this user only; synced. Blocks. Raises NotDelivered.

    The file is opened anew each time, so that others may move it away.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            # What a crash has cut off gets its line's end first, and is passed over when heads are read.
            size = os.fstat(descriptor).st_size
            begin = b"" if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n"
            data = begin + line.encode() + b"\n"
            if os.write(descriptor, data) != len(data):
                raise NotDelivered(f"The head could not be written whole to {path}.")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise NotDelivered(f"The head cannot be written to {path} ({error.strerror}).") from None


def post_to(url: str, line: str, token: Secret | None = None) -> None:
    """POST the line as JSON to this URL, straight there: no proxy and no redirect. Blocks. Raises NotDelivered unless the answer is 2xx."""
    parts = urlsplit(url)
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token.reveal().decode('ascii')}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(str(parts.hostname), parts.port, timeout=SECONDS, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=SECONDS)
    where = f"{parts.hostname} (WEBAPP_AUDIT_HEADS)"
    try:
        connection.request("POST", path, line.encode() + b"\n", headers)
        answer = connection.getresponse()
        answer.read(_MOST_ANSWER)
        status = answer.status
    except (OSError, http.client.HTTPException) as error:
        raise NotDelivered(f"The head cannot be sent to {where} ({type(error).__name__}).") from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotDelivered(f"The head was not taken by {where}: it answered with {status}.")
