"""Reading a form: the limits first, then text, secrets and at most one file."""

from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from webapp.errors import Invalid, TooLarge
from webapp.nonce import new_nonce
from webapp.vault import Secret

__all__ = ["MOST_BODY", "Form", "Upload", "new_nonce", "read_form"]

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
        return Secret(text.encode("utf-8", "surrogatepass")) if text else None

    def upload(self, name: str) -> Upload | None:
        """The file of this field; None when none was chosen."""
        return self._uploads.get(name)

    def number(self, name: str) -> int | None:
        """The field's whole number, or None when it holds none."""
        text = self._texts.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


async def read_form(request: Request) -> Form:
    """Parse the request's form. Raises TooLarge beyond the limits, Invalid when it is no form."""
    # The parser counts a field as it is encoded (%0A and CRLF for a line's end), people as it is: `_form` holds it to MOST_PART.
    try:
        async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=MOST_BODY) as data:
            return await _form(data)
    except HTTPException as error:
        if error.status_code == 413:
            raise TooLarge(f"The request is beyond the limit of {MOST_BODY // 1024} KiB, so it was not read.") from None
        if str(error.detail).startswith("Too many"):
            raise TooLarge(f"The form is beyond the limit: {MOST_FIELDS} fields and {MOST_FILES} file.") from None
        raise Invalid({"": "The form could not be read. Reload the page and send it again."}) from None


async def _form(data: FormData) -> Form:
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
        if len(text.encode("utf-8", "surrogatepass")) > MOST_PART:
            raise TooLarge(f"The field {name[:40]} is longer than the limit of {MOST_PART // 1024} KiB.")
        texts[name] = text
    return Form(texts, uploads)
