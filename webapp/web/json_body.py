"""Reading what a program sends: one JSON object (RFC 8259), and the form that it stands for."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import Request

from webapp.errors import Invalid, TooLarge
from webapp.web.forms import MOST_BODY, MOST_FIELDS, MOST_PART, Form, permit_again
from webapp.web.principal import actor

_LONGEST_KEY = 255


class _Twice(ValueError):
    """A name stands twice in an object: which of the two values counts, nobody could tell (RFC 8259, section 4)."""


async def read_json(request: Request) -> Mapping[str, Any]:
    """The body as a JSON object. Raises TooLarge beyond the route's limit, and Invalid, which never quotes it; else as `read_form`."""
    try:
        read = await request.body()
    except HTTPException as error:
        if error.status_code != 413:
            raise
        limit = request.scope.get(MAX_BODY_SIZE_SCOPE_KEY, MOST_BODY) // 1024
        raise TooLarge(f"The request is beyond the limit of {limit} KiB, so it was not read.") from None
    await permit_again(request)
    sentence = "The body is not JSON. Send one JSON object in UTF-8."
    try:
        body = json.loads(read.decode("utf-8-sig"), object_pairs_hook=_once, parse_constant=_no_number)
    except _Twice:
        sentence = "The body has a name twice in one object. Send every name once."
    except (ValueError, RecursionError):
        pass
    else:
        if isinstance(body, dict):
            return body
        sentence = "The body is JSON but no object. Send one JSON object."
    # Raised out here, so that no context carries the body along.
    raise Invalid({"": sentence})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def text_of(body: Mapping[str, Any], name: str) -> str:
    """A member of the object that has to be a string. Raises Invalid."""
    value = body.get(name)
    if not isinstance(value, str):
        raise Invalid({name: f"{name}: {'missing' if value is None else 'not a string'}. Send a string."})
    return value


def number_of(body: Mapping[str, Any], name: str) -> int:
    """A member of the object that has to be a whole number, such as the version that was edited. Raises Invalid."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        what = "missing" if value is None else "not a whole number"
        raise Invalid({name: f"{name}: {what}. Send the whole number that the last answer had."})
    return value


def repeat_key(request: Request) -> str:
    """What `Idempotency-Key` asks for, as the nonce of a form: the same one again makes nothing more, for a day. Empty without it.

    It is of this token and this address only. Raises Invalid.
    """
    key = request.headers.get("idempotency-key", "")
    if not key:
        return ""
    if len(key) > _LONGEST_KEY or not (key.isascii() and key.isprintable()):
        sentence = f"Idempotency-Key: at most {_LONGEST_KEY} printable ASCII characters, such as a UUID."
        raise Invalid({"": sentence})
    whole = f"{actor(request).id}\n{request.url.path}\n{key}"
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def form_of(
    body: Mapping[str, Any],
    *,
    texts: Collection[str],
    ticks: Collection[str] = (),
    others: Collection[str] = (),
    most_part: int = MOST_PART,
) -> Form:
    """The object as the form that a page would send, so that the same rules read both; strings stay byte for byte.

    `texts` are its fields of text, `ticks` its boxes to tick; `others` are names that it may have and that the form has not. Null is a
    field that is left out. Raises Invalid by field, also for a name that there is not, and TooLarge.
    """
    if len(body) > MOST_FIELDS:
        raise TooLarge(f"The object has {len(body)} names. Send at most {MOST_FIELDS}.")
    errors, read = dict[str, str](), dict[str, str]()
    for name, value in body.items():
        if name in others:
            continue
        if name not in texts and name not in ticks:
            errors[_shown(name)] = f"There is no such field here. The fields are {', '.join([*texts, *ticks, *others])}."
        elif value is None:
            continue
        elif name in ticks:
            if not isinstance(value, bool):
                errors[name] = f"{name}: neither true nor false. Send one of them."
            read[name] = "1" if value is True else ""
        elif not isinstance(value, str):
            errors[name] = f"{name}: not a string. Send a string."
        elif any("\ud800" <= character <= "\udfff" for character in value):
            errors[name] = f"{name}: holds half of a surrogate pair, which is no character. Send whole ones."
        elif len(value.encode("utf-8")) > most_part:
            raise TooLarge(f"The field {name} is longer than the limit of {most_part // 1024} KiB.")
        else:
            read[name] = value
    if errors:
        raise Invalid(errors)
    return Form(read, {})


def _shown(name: str) -> str:
    """A name that somebody made up, as it may stand in an answer."""
    return "".join(character if character.isprintable() else "?" for character in name[:40]) or "?"
