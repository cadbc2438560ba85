"""The filters of user data: what a value needs to stand in YAML, JSON or a shell's line. Their arguments are constants, and capped."""

import base64
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence

Arguments = Mapping[str, int | bool]

MOST_INDENT = 64

# What YAML does not take as it is, or takes for the end of a line, inside of double quotes (YAML 1.1, sections 4.1 and 4.2; 1.2, 5.1).
_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def b64encode(value: str) -> str:
    """The value's UTF-8 in base64 (RFC 4648, section 4), on one line; for cloud-init's `encoding: b64`."""
    return base64.b64encode(value.encode("utf-8")).decode("ascii")


def indent(value: str, *, width: int = 4, first: bool = False, blank: bool = False) -> str:
    """Every line but the first moved in, as Jinja's filter of this name does; for a block in YAML. Only LF ends a line."""
    begin, *others = value.split("\n")
    moved = [" " * width + line if line or blank else line for line in others]
    return "\n".join([" " * width + begin if first else begin, *moved])


def tojson(value: str, *, indent: int = 0) -> str:
    """The value as a string of JSON (RFC 8259, section 7), which is one of YAML too. A single string has nothing to indent."""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def quote(value: str) -> str:
    """The value as one word of a POSIX shell."""
    return shlex.quote(value)


FILTERS: Mapping[str, Callable[..., str]] = {"b64encode": b64encode, "indent": indent, "tojson": tojson, "quote": quote}

_PARAMETERS: Mapping[str, Mapping[str, type]] = {
    "b64encode": {},
    "indent": {"width": int, "first": bool, "blank": bool},
    "tojson": {"indent": int},
    "quote": {},
}


def checked_arguments(name: str, values: Sequence[object], named: Mapping[str, object]) -> Arguments:
    """The filter's arguments by their names. Raises ValueError with the end of a sentence that begins with the filter's name."""
    parameters = _PARAMETERS[name]
    if len(values) > len(parameters):
        raise ValueError(f"takes {len(parameters) or 'no'} argument{'' if len(parameters) == 1 else 's'}.")
    given = dict(zip(parameters, values, strict=False))
    if twice := sorted(given.keys() & named.keys()):
        raise ValueError(f"has {twice[0]} twice.")
    arguments: dict[str, int | bool] = {}
    for key, value in (given | dict(named)).items():
        if key not in parameters:
            raise ValueError(f"has no argument of that name; it takes {', '.join(parameters) or 'none'}.")
        if not isinstance(value, int) or type(value) is not parameters[key]:
            raise ValueError(f"takes {'true or false' if parameters[key] is bool else 'a whole number'} as {key}.")
        if parameters[key] is int and not 0 <= value <= MOST_INDENT:
            raise ValueError(f"takes a {key} from 0 to {MOST_INDENT}.")
        arguments[key] = value
    return arguments
