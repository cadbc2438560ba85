"""Image references: the grammar of distribution/reference, Docker's defaults, and what is said of what breaks them."""

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.references import GRAMMAR, NOTHING, digests, domains, paths, references, tags
from webapp.reference import Reference

SHA256 = "sha256:" + "7cc4b5aefd1d0cad" * 4


def _parsed(text: str) -> Reference | None:
    read = _reference_or_refusal(text)
    return read if isinstance(read, Reference) else None


def _reference_or_refusal(text: str) -> Reference | str:
    try:
        return Reference.parse(text)
    except ValueError as error:
        return str(error)


def _refusal(text: str) -> str:
    with pytest.raises(ValueError, match=r"\.$") as caught:
        Reference.parse(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("typed", "host", "repository", "tag", "digest"),
    [
        ("nginx", "docker.io", "library/nginx", "latest", None),
        ("nginx:1.27", "docker.io", "library/nginx", "1.27", None),
        ("http:latest", "docker.io", "library/http", "latest", None),
        ("acme/ubuntu", "docker.io", "acme/ubuntu", "latest", None),
        ("library/debian", "docker.io", "library/debian", "latest", None),
        ("docker/docker/docker", "docker.io", "docker/docker/docker", "latest", None),
        ("docker.io/debian", "docker.io", "library/debian", "latest", None),
        ("index.docker.io/debian", "docker.io", "library/debian", "latest", None),
        ("index.docker.io/docker/docker", "docker.io", "docker/docker", "latest", None),
        ("Docker.IO/debian", "docker.io", "library/debian", "latest", None),
        ("registry-1.docker.io/library/nginx", "registry-1.docker.io", "library/nginx", "latest", None),
        ("registry-1.docker.io/nginx", "registry-1.docker.io", "nginx", "latest", None),
        ("docker.io:443/nginx", "docker.io:443", "nginx", "latest", None),
        ("ghcr.io/acme/ubuntu:24.04", "ghcr.io", "acme/ubuntu", "24.04", None),
        ("GHCR.io/acme/ubuntu:Noble", "ghcr.io", "acme/ubuntu", "Noble", None),
        ("localhost/ubuntu", "localhost", "ubuntu", "latest", None),
        ("localhost:5000/ubuntu", "localhost:5000", "ubuntu", "latest", None),
        ("LOCALHOST/ubuntu", "localhost", "ubuntu", "latest", None),
        ("localhosts/ubuntu", "docker.io", "localhosts/ubuntu", "latest", None),
        ("registry:5000/ubuntu", "registry:5000", "ubuntu", "latest", None),
        ("REGISTRY:5000/ubuntu", "registry:5000", "ubuntu", "latest", None),
        # Docker reads no host where there is no slash.
        ("ghcr.io", "docker.io", "library/ghcr.io", "latest", None),
        ("localhost", "docker.io", "library/localhost", "latest", None),
        ("registry.example.com:5000", "docker.io", "library/registry.example.com", "5000", None),
        ("127.0.0.1:5000/library/debian", "127.0.0.1:5000", "library/debian", "latest", None),
        ("[::1]/ubuntu", "[::1]", "ubuntu", "latest", None),
        ("[2001:DB8::1]:5000/acme/ubuntu", "[2001:db8::1]:5000", "acme/ubuntu", "latest", None),
        ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com", "myimage", "xn--n3h.com", None),
        ("b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io", "test.example.com/my-app", "test.example.com", None),
        ("foo_bar.com:8080", "docker.io", "library/foo_bar.com", "8080", None),
        ("foo/foo_bar.com:8080", "docker.io", "foo/foo_bar.com", "8080", None),
        ("a.example/a__b/c--d/e.f/g-_", None, None, None, None),
        ("a.example/a__b/c---d/e.f/g_h", "a.example", "a__b/c---d/e.f/g_h", "latest", None),
        ("a.example/repo:_under", "a.example", "repo", "_under", None),
        (f"nginx@{SHA256}", "docker.io", "library/nginx", None, SHA256),
        (f"ghcr.io/acme/ubuntu:24.04@{SHA256}", "ghcr.io", "acme/ubuntu", "24.04", SHA256),
        (f"a.example/b@sha384:{'0' * 96}", "a.example", "b", None, f"sha384:{'0' * 96}"),
        (f"a.example/b@sha512:{'f' * 128}", "a.example", "b", None, f"sha512:{'f' * 128}"),
        (f"a.example/b@blake3+b.c:{'aF' * 16}", "a.example", "b", None, f"blake3+b.c:{'aF' * 16}"),
        # An image's id is no name, unless it plainly stands where a name does.
        ("a" * 64, None, None, None, None),
        (SHA256, "docker.io", "library/sha256", SHA256[7:], None),
        ("a" * 63, "docker.io", f"library/{'a' * 63}", "latest", None),
        ("a" * 64 + ":1", "docker.io", f"library/{'a' * 64}", "1", None),
        ("docker.io/" + "a" * 64, "docker.io", f"library/{'a' * 64}", "latest", None),
    ],
)
def test_it_reads_a_reference_as_docker_does(typed: str, host: str | None, repository: str, tag: str | None, digest: str | None) -> None:
    expected = Reference(host, repository, tag, digest) if host is not None else None
    assert _parsed(typed) == expected


@pytest.mark.parametrize(
    ("typed", "canonical", "familiar"),
    [
        ("nginx", "docker.io/library/nginx:latest", "nginx:latest"),
        ("index.docker.io/library/nginx:1", "docker.io/library/nginx:1", "nginx:1"),
        ("acme/ubuntu", "docker.io/acme/ubuntu:latest", "acme/ubuntu:latest"),
        ("library/distros/ubuntu", "docker.io/library/distros/ubuntu:latest", "library/distros/ubuntu:latest"),
        ("GHCR.io/library/x", "ghcr.io/library/x:latest", "ghcr.io/library/x:latest"),
        ("registry-1.docker.io/library/x", "registry-1.docker.io/library/x:latest", "registry-1.docker.io/library/x:latest"),
        (f"nginx:1@{SHA256}", f"docker.io/library/nginx:1@{SHA256}", f"nginx:1@{SHA256}"),
        (f"nginx@{SHA256}", f"docker.io/library/nginx@{SHA256}", f"nginx@{SHA256}"),
        # Shortened, these would name a repository of another registry.
        ("docker.io/foo.bar/baz", "docker.io/foo.bar/baz:latest", "docker.io/foo.bar/baz:latest"),
        ("docker.io/localhost/baz", "docker.io/localhost/baz:latest", "docker.io/localhost/baz:latest"),
        ("docker.io/foo.bar", "docker.io/library/foo.bar:latest", "foo.bar:latest"),
    ],
)
def test_it_writes_the_whole_form_and_the_short_one(typed: str, canonical: str, familiar: str) -> None:
    reference = Reference.parse(typed)
    assert (str(reference), reference.familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("", "Enter a Docker Image URL"),
        ("  ", "Enter a Docker Image URL"),
        ("a" * 1025, "1025 characters"),
        ("https://github.com/docker/docker", "no scheme"),
        ("HTTPS://ghcr.io/acme/ubuntu", "no scheme"),
        ("docker://ghcr.io/acme/ubuntu", "no scheme"),
        ("https:/ghcr.io/acme/ubuntu", "no scheme"),
        ("ghcr.io/acme/ubuntu ", "Character 20 of the Docker Image URL is a space"),
        ("ghcr.io/acme/ubu\u200bntu", "Character 17 of the Docker Image URL is an invisible character"),
        ("nginx\n", "Character 6"),
        ("docker/Docker", "The part Docker of the repository has upper-case letters"),
        ("docker.io/docker/Docker", "upper-case letters"),
        ("Uppercase:tag", "upper-case letters"),
        ("Acme/ubuntu", "For a repository of Docker Hub write acme"),
        ("-docker", "The part -docker of the repository is not right"),
        ("-docker/docker", "The part -docker of the repository"),
        ("-docker.io/docker/docker", "letter or a digit first and last"),
        ("docker///docker", "a slash too many"),
        ("docker.io/docker///docker", "a slash too many"),
        ("docker.io/docker/", "a slash too many"),
        ("/docker", "a slash too many"),
        ("aa/asdf$$^/aa", "The part asdf$$^ of the repository"),
        ("a.example/a___b", "The part a___b of the repository"),
        ("a.example/a..b", "The part a..b of the repository"),
        ("a.example/a._b", "The part a._b of the repository"),
        ("a.example/ü", "The part ü of the repository"),
        ("a.example/" + "-" * 100, "The part " + "-" * 40 + "… of the repository"),
        ("ghcr.io/", "The repository is missing"),
        ("ghcr.io/:tag", "The repository is missing"),
        (":tag", "The repository is missing"),
        (f"@{SHA256}", "The repository is missing"),
        ("nginx:", "no tag"),
        ("nginx:-1", "no tag"),
        ("nginx:.1", "no tag"),
        ("nginx:a:b", "no tag"),
        ("nginx:é", "no tag"),
        ("nginx:" + "a" * 129, "no tag"),
        ("nginx@", "no digest"),
        ("nginx@latest", "no digest"),
        ("nginx@sha256", "no digest"),
        (f"nginx@{SHA256[:-1]}", "64 hexadecimal digits, in lower case"),
        (f"nginx@{SHA256}0", "64 hexadecimal digits, in lower case"),
        (f"nginx@{SHA256.upper()}", "the algorithm in lower case"),
        (f"nginx@sha256:{'F' * 64}", "64 hexadecimal digits, in lower case"),
        (f"nginx@sha384:{'0' * 64}", "96 hexadecimal digits"),
        (f"nginx@sha512:{'0' * 64}", "128 hexadecimal digits"),
        (f"nginx@md4:{'0' * 31}", "no digest"),
        (f"nginx@{SHA256}@{SHA256}", "64 hexadecimal digits"),
        (f"nginx@{SHA256}:1", "64 hexadecimal digits"),
        ("f" * 64, "an image's id and no name"),
        ("a.example:0/b", "from 1 to 65535"),
        ("a.example:65536/b", "from 1 to 65535"),
        ("a.example:080/b", "from 1 to 65535"),
        ("a.example:/b", "from 1 to 65535"),
        ("a.example:x/b", "from 1 to 65535"),
        ("a.example:5\u0663/b", "from 1 to 65535"),
        ("a.example:1:2/b", "more than one colon"),
        ("2001:db8::1/b", "IPv6 address stands in brackets"),
        ("[2001:db8::1/b", "has to be an IPv6 address"),
        ("[fe80::1%eth0]/b", "has to be an IPv6 address"),
        ("[::ffff:192.0.2.1]/b", "has to be an IPv6 address"),
        ("[1.2.3.4]/b", "has to be an IPv6 address"),
        ("[]:5000/b", "has to be an IPv6 address"),
        ("[::1]5000/b", "After the brackets"),
        ("a_b.example/c", "_ cannot stand in a registry's host"),
        ("bücher.example/c", "begins with xn--"),
        ("a..example/c", "letter or a digit first and last"),
        ("a.example./c", "letter or a digit first and last"),
        (".example/c", "letter or a digit first and last"),
        ("a-.example/c", "letter or a digit first and last"),
        (":5000/c", "host is missing"),
        ("a." * 127 + "example/c", "at most 253"),
    ],
)
def test_it_says_what_is_wrong_with_a_reference(typed: str, said: str) -> None:
    assert said in _refusal(typed)


def test_a_repository_has_255_characters_and_its_host_does_not_count() -> None:
    longest = "a/" * 127 + "a"
    assert Reference.parse(f"registry.example.com:5000/{longest}:tag").repository == longest
    assert Reference.parse(longest).repository == longest
    assert "has 256 characters. It has at most 255" in _refusal(f"ghcr.io/{longest}a")
    assert "has 256 characters" in _refusal("b" * 248), "library/ counts, as it does for Docker"


@pytest.mark.parametrize(
    "typed",
    [
        "ana:hunter2@ghcr.io/acme/ubuntu",
        "ana:hun/hunter2@ghcr.io/acme/ubuntu",
        "hunter2@ghcr.io/acme/ubuntu",
        "ana:hunter2@ghcr.io",
        "https://ana:hunter2@ghcr.io/acme/ubuntu",
        "ana:hunter2@@ghcr.io/acme/ubuntu",
        "ana:hunter2@[::1]:5000/acme/ubuntu",
        "ana:hunter2 @ghcr.io/acme/ubuntu",
    ],
)
def test_it_never_repeats_what_was_typed_before_an_at(typed: str) -> None:
    said = _refusal(typed)
    assert "hunter2" not in said
    assert "ana" not in said


@given(st.text(max_size=30), st.text(min_size=1, max_size=30), references)
@settings(max_examples=100, deadline=None)
def test_no_password_is_ever_repeated(user: str, password: str, reference: str) -> None:
    said = _refusal(f"{user}:Qx7{password}@{reference.partition('@')[0]}".replace("\n", ""))
    assert "Qx7" not in said


@given(references)
@example("docker.io/foo.bar/baz")
@example("Acme.io/x")
@settings(max_examples=250, deadline=None)
def test_a_reference_of_the_grammar_is_read_and_written_back_the_same(text: str) -> None:
    reference = Reference.parse(text)
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(reference.familiar) == reference
    assert GRAMMAR.fullmatch(str(reference))
    assert reference.host == reference.host.lower()
    assert reference.tag or reference.digest


@given(domains, paths, NOTHING | tags, NOTHING | digests)
@settings(max_examples=120, deadline=None)
def test_each_part_of_a_reference_is_found(domain: str, path: str, tag: str, digest: str) -> None:
    reference = Reference.parse(f"{domain}/{path}" + (f":{tag}" if tag else "") + (f"@{digest}" if digest else ""))
    host = "docker.io" if domain.lower() == "index.docker.io" else domain.lower()
    assert reference.host == host
    assert reference.repository == (f"library/{path}" if host == "docker.io" and "/" not in path else path)
    assert (reference.tag, reference.digest) == (tag or ("latest" if not digest else None), digest or None)


@given(references, st.sampled_from("!\"#$%&'()*,;<=>?\\^`{|}~ \t\n\0é\u202e\ud800"), st.integers(0, 200))
@settings(max_examples=120, deadline=None)
def test_a_character_outside_the_grammar_is_refused_wherever_it_stands(text: str, character: str, at: int) -> None:
    at = min(at, len(text))
    assert _parsed(text[:at] + character + text[at:]) is None


@given(references, st.sampled_from(["{}:", "{}@", "{}/", "/{}", "-{}", ":{}", "@{}", "https://{}", "a/{}//b", "{}:a:b:c", "{}@sha256:00"]))
@settings(max_examples=120, deadline=None)
def test_a_reference_that_was_damaged_is_refused(text: str, damage: str) -> None:
    assert _parsed(damage.format(text)) is None


@given(st.text(max_size=60) | st.text("aF0._-:/@[] +A", max_size=40) | st.text("aF0.:/", max_size=12))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    read = _reference_or_refusal(text)
    if isinstance(read, str):
        assert re.fullmatch(r"[^\x00-\x1f]+\.", read)
    else:
        assert GRAMMAR.fullmatch(str(read))
        assert Reference.parse(str(read)) == read
        assert Reference.parse(read.familiar) == read


@pytest.mark.parametrize("unit", ["a", "a-", "a.", "a_", "-", "_", ".", "a/", ":", "@", "a:", "[", "a@", "A"])
def test_it_answers_at_once_however_long_the_text(unit: str) -> None:
    started = time.perf_counter()
    for before, after in (("", "!"), ("a.example/", "!"), ("a.example/b:", "!"), ("a.example/b@sha256:", "!"), ("", "!/b")):
        assert _parsed((before + unit * 1024)[: 1024 - len(after)] + after) is None
    assert time.perf_counter() - started < 1
