"""What a server asks for: the `WWW-Authenticate` header, several challenges, quoted strings and all (RFC 9110, sections 5.6 and 11.6.1)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_SEPARATORS = re.compile(r"[ \t,]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TOKEN68 = re.compile(r"[ \t]+[A-Za-z0-9._~+/-]+=*[ \t]*(?=,|\Z)")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_BARE = re.compile(r'[^\s,"]+')  # wider than a token: some write their URL without quotes


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to sign in. `scheme` and the parameters' names are in lower case; the values are the server's own words."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(header: str) -> list[Challenge]:
    """The challenges of a header, as far as it is well formed; linear in its length."""
    challenges: list[Challenge] = []
    position = 0
    while True:
        position = _end(_SEPARATORS, header, position)
        scheme = _TOKEN.match(header, position)
        if scheme is None:
            return challenges
        position = scheme.end()
        token68 = _TOKEN68.match(header, position)
        if token68 is not None:
            challenges.append(Challenge(scheme[0].lower(), {}))
            position = token68.end()
            continue
        parameters, position = _parameters(header, position)
        challenges.append(Challenge(scheme[0].lower(), parameters))


def _parameters(header: str, position: int) -> tuple[dict[str, str], int]:
    """The parameters from here on, and where what is none of them begins. The first one of a name counts."""
    parameters: dict[str, str] = {}
    while True:
        start = _end(_SEPARATORS, header, position)
        name = _TOKEN.match(header, start)
        equals = name and _EQUALS.match(header, name.end())
        if name is None or equals is None:  # the next challenge, the end, or nothing that can be read
            return parameters, start
        value = _QUOTED.match(header, equals.end())
        if value is not None:
            text = _ESCAPED.sub(r"\1", value[1])
        else:
            value = _BARE.match(header, equals.end())
            if value is None:
                return parameters, len(header)
            text = value[0]
        parameters.setdefault(name[0].lower(), text)
        position = value.end()


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found is not None else position
