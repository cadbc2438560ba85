"""The Registry URL: what is taken off it, what is refused, and that a reference could have every host that is left."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.references import domains
from webapp.reference import Reference, RegistryHost, same_registry


def _host_or_refusal(text: str) -> RegistryHost | str:
    try:
        return RegistryHost.parse(text)
    except ValueError as error:
        return str(error)


def _refusal(text: str) -> str:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        RegistryHost.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("typed", "host", "notes"),
    [
        ("ghcr.io", "ghcr.io", ()),
        ("  ghcr.io\n", "ghcr.io", ()),
        ("GHCR.io", "ghcr.io", ()),
        ("registry-1.docker.io", "registry-1.docker.io", ()),
        ("index.docker.io", "index.docker.io", ()),
        ("us-docker.pkg.dev", "us-docker.pkg.dev", ()),
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com", ()),
        ("registry:5000", "registry:5000", ()),
        ("localhost", "localhost", ()),
        ("LOCALHOST:5000", "localhost:5000", ()),
        ("127.0.0.1:1", "127.0.0.1:1", ()),
        ("[::1]", "[::1]", ()),
        ("[2001:DB8::1]:65535", "[2001:db8::1]:65535", ()),
        ("ghcr.io:443", "ghcr.io:443", ()),
        ("https://ghcr.io", "ghcr.io", ("Taken off: the scheme https://.",)),
        ("HTTP://Registry.Example.com:8080", "registry.example.com:8080", ("Taken off: the scheme http://.",)),
        ("ghcr.io/", "ghcr.io", ("Taken off: the trailing slash.",)),
        ("https://ghcr.io/", "ghcr.io", ("Taken off: the scheme https:// and the trailing slash.",)),
        ("https://index.docker.io/v1/", "index.docker.io", ("Taken off: the scheme https:// and the path /v1/.",)),
        ("https://ghcr.io/v2/", "ghcr.io", ("Taken off: the scheme https:// and the path /v2/.",)),
        (
            "us-docker.pkg.dev/acme-images/machines",
            "us-docker.pkg.dev",
            ("Taken off: the path /acme-images/machines.",),
        ),
        ("ghcr.io/" + "a" * 100, "ghcr.io", ("Taken off: the path /" + "a" * 39 + "….",)),
        ("https://[::1]:5000/v2", "[::1]:5000", ("Taken off: the scheme https:// and the path /v2.",)),
    ],
)
def test_it_keeps_the_host_and_says_what_it_took_off(typed: str, host: str, notes: tuple[str, ...]) -> None:
    assert RegistryHost.parse(typed) == RegistryHost(host, notes)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Enter the registry's host"),
        (" \t", "Enter the registry's host"),
        ("a" * 1025, "1025 characters"),
        ("docker://ghcr.io", "Leave the scheme out"),
        ("ftp://ghcr.io", "Leave the scheme out"),
        ("https:/ghcr.io", "a scheme that is not whole"),
        ("https:ghcr.io", "a scheme that is not whole"),
        ("https://https://ghcr.io", "a scheme that is not whole"),
        ("https://", "host is missing"),
        ("https:///v2/", "host is missing"),
        ("//ghcr.io", "host is missing"),
        (":5000", "host is missing"),
        ("ghcr.io?service=x", "no query"),
        ("https://ghcr.io/v2/?n=1", "no query"),
        ("ghcr.io#top", "no fragment"),
        ("gh cr.io", "Character 3 of the Registry URL is a space"),
        ("https://ghcr.io/a b", "Character 18 of the Registry URL is a space"),
        ("ghcr\u200b.io", "an invisible character"),
        ("ghcr.io:0", "from 1 to 65535"),
        ("ghcr.io:65536", "from 1 to 65535"),
        ("ghcr.io:99999999999999999999", "from 1 to 65535"),
        ("ghcr.io:", "from 1 to 65535"),
        ("ghcr.io:https", "from 1 to 65535"),
        ("ghcr.io:-1", "from 1 to 65535"),
        ("2001:db8::1", "IPv6 address stands in brackets"),
        ("[2001:db8::1", "has to be an IPv6 address"),
        ("[ghcr.io]", "has to be an IPv6 address"),
        ("my_registry.example.com", "_ cannot stand in a registry's host"),
        ("https:\\\\ghcr.io", "a scheme that is not whole"),
        ("ghcr.io\\v2", "\\ cannot stand in a registry's host"),
        ("*.example.com", "* cannot stand in a registry's host"),
        ("bücher.example", "begins with xn--"),
        ("ghcr.io.", "letter or a digit first and last"),
        ("-ghcr.io", "letter or a digit first and last"),
        ("ghcr..io", "letter or a digit first and last"),
        ("myregistry", "Enter the registry's whole name, such as myregistry.example.com, or add its port, such as myregistry:5000"),
        ("MyRegistry", "In an image reference myregistry would be a repository of Docker Hub"),
        ("acme/ubuntu", "In an image reference acme would be"),
        ("a." * 127 + "example", "at most 253"),
    ],
)
def test_it_says_what_is_wrong_with_a_registry_url(typed: str, said: str) -> None:
    assert said in _refusal(typed)


@pytest.mark.parametrize(
    "typed",
    [
        "ana:hunter2@ghcr.io",
        "https://ana:hunter2@ghcr.io/v2/",
        "ftp://ana:hunter2@ghcr.io",
        "ana:5/hunter2@ghcr.io",
        "ana:5?hunter2@ghcr.io",
        "ghcr.io/hunter2@ana",
        "ana:hunter2 @ghcr.io",
    ],
)
def test_it_never_repeats_user_info(typed: str) -> None:
    said = _refusal(typed)
    assert "hunter2" not in said
    assert "ana" not in said


@given(domains, st.sampled_from(["", "https://", "HTTP://", "hTTps://"]), st.sampled_from(["", "/", "/v2/", "/v2/acme/ubuntu", "//"]))
@settings(max_examples=200, deadline=None)
def test_every_host_of_the_grammar_is_taken_with_or_without_what_stands_around_it(domain: str, scheme: str, path: str) -> None:
    parsed = RegistryHost.parse(f"{scheme}{domain}{path}")
    assert parsed.host == domain.lower()
    assert RegistryHost.parse(parsed.host) == RegistryHost(parsed.host), "what is stored needs nothing taken off"
    assert bool(parsed.notes) == bool(scheme or path)


@given(st.text(max_size=40) | st.text("aF0.-:[]/_@ ", max_size=20) | st.text("aA0.:", max_size=8) | domains)
@example("myregistry")
@example("LocalHost")
@example("index.docker.io")
@settings(max_examples=500, deadline=None)
def test_every_host_that_is_taken_is_one_that_a_reference_can_have(text: str) -> None:
    read = _host_or_refusal(text)
    if isinstance(read, str):
        assert re.fullmatch(r"[^\x00-\x1f]+\.", read)
    else:
        reference = Reference.parse(f"{read.host}/a/b")
        assert reference.repository == "a/b"
        assert reference.host == ("docker.io" if read.host == "index.docker.io" else read.host)
        assert same_registry(reference.host, read.host)


def test_docker_hub_has_three_names_and_is_one_registry() -> None:
    names = ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"]
    assert all(same_registry(first, second) for first in names for second in names)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("ghcr.io", "docker.io"),
        ("docker.io", "evil-docker.io"),
        ("docker.io", "docker.io.example.com"),
        ("auth.docker.io", "docker.io"),
        ("registry-2.docker.io", "registry-1.docker.io"),
        ("localhost:5000", "localhost:5001"),
        ("localhost", "localhost:5000"),
        ("ghcr.io", "ghcr.io:443"),
        ("docker.io", "docker.io:443"),
        ("docker.io", ""),
    ],
)
def test_other_hosts_and_other_ports_are_other_registries(first: str, second: str) -> None:
    assert not same_registry(first, second)
    assert not same_registry(second, first)


def test_a_host_is_itself_however_it_is_written() -> None:
    assert same_registry("GHCR.io", "ghcr.IO")
