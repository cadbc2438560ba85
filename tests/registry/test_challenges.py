"""WWW-Authenticate, as registries write it and as nobody should."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webapp.registry.challenges import Challenge, parse_challenges

HUB = {"realm": "https://auth.docker.io/token", "service": "registry.docker.io", "scope": "repository:acme/x:pull,push"}


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        ("", []),
        (", ,", []),
        ('Basic realm="Registry"', [("basic", {"realm": "Registry"})]),
        ("Negotiate", [("negotiate", {})]),
        ("Negotiate abc==, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:acme/x:pull,push"',
            [("bearer", HUB)],
        ),
        ('BEARER Realm = "a" , SERVICE=b', [("bearer", {"realm": "a", "service": "b"})]),
        ('Basic realm="a", Bearer realm="b",service="c"', [("basic", {"realm": "a"}), ("bearer", {"realm": "b", "service": "c"})]),
        ('Bearer realm="a, Basic realm=b"', [("bearer", {"realm": "a, Basic realm=b"})]),
        (r'Basic realm="say \"hi\" \\ there"', [("basic", {"realm": r'say "hi" \ there'})]),
        ("Bearer realm=https://r.example.com/token,service=s", [("bearer", {"realm": "https://r.example.com/token", "service": "s"})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ('Bearer realm="never ends', [("bearer", {})]),
        ('Bearer realm="a" junk" more', [("bearer", {"realm": "a"}), ("junk", {})]),
    ],
)
def test_it_reads_challenges(header: str, challenges: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges(header) == [Challenge(scheme, parameters) for scheme, parameters in challenges]


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet='aB ,="\\\t/:é', max_size=60))
def test_it_takes_any_text(header: str) -> None:
    for challenge in parse_challenges(header):
        assert challenge.scheme == challenge.scheme.lower()


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["realm", "service", "scope", "error"]), st.text(max_size=20), min_size=1, max_size=4))
def test_what_is_quoted_comes_back(parameters: dict[str, str]) -> None:
    quoted = ", ".join('{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"')) for name, value in parameters.items())
    assert parse_challenges(f"Basic realm=x, Bearer {quoted}")[1] == Challenge("bearer", parameters)
