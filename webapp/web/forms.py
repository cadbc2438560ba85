"""Reading a form: the limits first, then text, secrets and at most one file."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from webapp.errors import Invalid, TooLarge
from webapp.nonce import new_nonce
from webapp.vault import Secret

__all__ = ["MOST_BODY", "Form", "Upload", "new_nonce", "permit_again", "read_form"]

MOST_BODY = 256 * 1024
MOST_FIELDS = 40
MOST_FILES = 1
MOST_PART = 64 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that came with a form, byte for byte."""

    filename: str
    content: Secret


class Form:
    """A parsed form. Its fields are read by name; it has no way to print them."""

    def __init__(self, texts: dict[str, str], uploads: dict[str, Upload]) -> None:
        self._texts = texts
        self._uploads = uploads

    def has(self, name: str) -> bool:
        """Whether the form has a field of this name, empty or not."""
        return name in self._texts or name in self._uploads

    def text(self, name: str) -> str:
        """The field's text with CRLF made LF; empty when it is absent."""
        return self._texts.get(name, "")

    def secret(self, name: str) -> Secret | None:
        """The field's text as a secret, in UTF-8, with CRLF made LF; None when it is empty or absent."""
        text = self._texts.get(name, "")
        return Secret(text.encode("utf-8")) if text else None

    def upload(self, name: str) -> Upload | None:
        """The file of this field; None when none was chosen."""
        return self._uploads.get(name)

    def number(self, name: str) -> int | None:
        """The field's whole number, or None when it holds none."""
        text = self._texts.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def pasted_or_uploaded(form: Form, pasted: str, uploaded: str) -> Secret | None:
    """What was typed into the field `pasted` or uploaded in the field `uploaded`, byte for byte; None when neither was.

    Raises ValueError with a sentence when both were.
    """
    text, upload = form.secret(pasted), form.upload(uploaded)
    if text is not None and upload is not None:
        raise ValueError(
            "There is a pasted text and an uploaded file. Empty the text, or take the file away, so that it is clear which counts."
        )
    return text if upload is None else upload.content


async def read_form(request: Request, *, most_part: int = MOST_PART, most_body: int = MOST_BODY) -> Form:
    """Parse the request's form, of fields with at most `most_part` bytes, in a body of at most `most_body`.

    Raises TooLarge beyond the limits, Invalid when it is no form; and what refuses a caller who may not do this any more.
    """
    _refuse_charset(request)
    # The parser counts a field as it is encoded (%0A and CRLF for a line's end), people as it is: `_form` holds it to MOST_PART.
    try:
        async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=most_body) as data:
            form = await _form(data, most_part)
    except HTTPException as error:
        if error.status_code == 413:
            raise TooLarge(f"The request is beyond the limit of {most_body // 1024} KiB, so it was not read.") from None
        if str(error.detail).startswith("Too many"):
            raise TooLarge(f"The form is beyond the limit: {MOST_FIELDS} fields and {MOST_FILES} file.") from None
        raise Invalid({"": "The form could not be read. Reload the page and send it again."}) from None
    await permit_again(request)
    return form


async def permit_again(request: Request) -> None:
    """See once more that the caller may do this, now that all of the body is here. Raises as the route's own check does."""
    check: Callable[[], Awaitable[None]] | None = getattr(request.state, "permit_again", None)
    if check is not None:
        await check()


def _refuse_charset(request: Request) -> None:
    """Raise Invalid for a form in another charset than UTF-8, which is what every browser sends.

    The parser decodes with whatever the client names, and some of Python's decoders take the square of the length
    (`punycode`: 20 s for 250 kB) or make text that is none (`unicode_escape`).
    """
    _, options = parse_options_header(request.headers.get("content-type", ""))
    if options.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        raise Invalid({"": "The form is not in UTF-8. Send it in UTF-8."})


async def _form(data: FormData, most_part: int) -> Form:
    texts: dict[str, str] = {}
    uploads: dict[str, Upload] = {}
    for name, value in data.multi_items():
        if isinstance(value, UploadFile):
            content = await value.read()
            # A file input in which nothing was chosen sends a part without a name and without content.
            if value.filename or content:
                uploads[name] = Upload(value.filename or "", Secret(content))
            continue
        text = value.replace("\r\n", "\n")
        try:
            size = len(text.encode("utf-8"))
        except UnicodeEncodeError:
            size = -1
        if size < 0:  # raised out here, so that no context carries the text along
            raise Invalid({"": "The form holds half of a character. Reload the page, and type it again."})
        if size > most_part:
            raise TooLarge(f"The field {name[:40]} is longer than the limit of {most_part // 1024} KiB.")
        texts[name] = text
    return Form(texts, uploads)
