"""What clients print when a pull fails, and what it means. skopeo's words are produced here; the others' are as people reported them."""

import subprocess
from pathlib import Path

import pytest

from tests import system
from tests.real.process import free_port
from tests.real.registry import Registry
from webapp.registry.attribution import kind_of
from webapp.registry.kinds import Kind

HUB = "docker.io/acme/ubuntu:24.04"

REPORTED = [
    # skopeo, podman, buildah: containers/image
    (f"reading manifest 24.04 in {HUB}: manifest unknown: manifest unknown", Kind.NO_SUCH_IMAGE),
    ("reading manifest 24.04 in quay.io/acme/x: name unknown: repository not found", Kind.NO_SUCH_IMAGE),
    (
        (
            "initializing source docker://quay.io/acme/x:1: reading manifest 1 in quay.io/acme/x: unauthorized: access to the requested"
            " resource is not authorized"
        ),
        Kind.MISSING_OR_NO_ACCESS,
    ),
    (f"reading manifest 24.04 in {HUB}: requested access to the resource is denied", Kind.MISSING_OR_NO_ACCESS),
    (
        "unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password",
        Kind.WRONG_CREDENTIALS,
    ),
    ("Requesting bearer token: received unexpected HTTP status: 403 Forbidden", Kind.MISSING_OR_NO_ACCESS),
    ("pinging container registry r.example.com: received unexpected HTTP status: 503 Service Unavailable", Kind.UNREACHABLE),
    ("toomanyrequests: You have reached your unauthenticated pull rate limit.", Kind.UNREACHABLE),
    ("unauthorized: HTTP Basic: Access denied", Kind.WRONG_CREDENTIALS),
    # docker
    (
        (
            "Error response from daemon: pull access denied for acme/x, repository does not exist or may require 'docker login': denied:"
            " requested access to the resource is denied"
        ),
        Kind.MISSING_OR_NO_ACCESS,
    ),
    (
        (
            "Error response from daemon: pull access denied for 1234.dkr.ecr.eu-west-1.amazonaws.com/x, repository does not exist or may"
            " require 'docker login': denied: Your authorization token has expired. Reauthenticate and try again."
        ),
        Kind.WRONG_CREDENTIALS,
    ),
    (
        (
            "Error response from daemon: pull access denied for ghcr.io/acme/x, repository does not exist or may require 'docker login':"
            " denied: permission_denied: read_package"
        ),
        Kind.MAY_NOT_PULL,
    ),
    ('Error response from daemon: Head "https://ghcr.io/v2/acme/x/manifests/latest": denied: denied', Kind.MISSING_OR_NO_ACCESS),
    ("Error response from daemon: manifest for acme/x:2 not found: manifest unknown: manifest unknown", Kind.NO_SUCH_IMAGE),
    ('Error response from daemon: Get "https://r.lan:5000/v2/": http: server gave HTTP response to HTTPS client', Kind.TLS),
    ('Error response from daemon: Get "https://r.lan/v2/": net/http: TLS handshake timeout', Kind.UNREACHABLE),
    ('Error response from daemon: Get "https://r.lan/v2/": dial tcp 10.0.0.9:443: i/o timeout', Kind.UNREACHABLE),
    (
        "Get https://123456789012.dkr.ecr.us-east-1.amazonaws.com/v2/x/manifests/1: no basic auth credentials",
        Kind.WRONG_CREDENTIALS,
    ),
    (
        "denied: User: arn:aws:iam::123456789012:user/x is not authorized to perform: ecr:BatchGetImage on resource: *",
        Kind.MAY_NOT_PULL,
    ),
    (
        (
            'denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource "projects/p/repositories/r"'
            " (or it may not exist)"
        ),
        Kind.MISSING_OR_NO_ACCESS,
    ),
    # containerd
    (
        (
            f'failed to resolve reference "{HUB}": pull access denied, repository does not exist or may require authorization:'
            " server message: insufficient_scope: authorization failed"
        ),
        Kind.MISSING_OR_NO_ACCESS,
    ),
    (f'failed to resolve reference "{HUB}": {HUB}: not found', Kind.NO_SUCH_IMAGE),
    (
        'failed to resolve reference "ghcr.io/x:1": unexpected status from HEAD request to https://ghcr.io/v2/x/manifests/1: 403 Forbidden',
        Kind.MISSING_OR_NO_ACCESS,
    ),
    (
        "failed to resolve image: unexpected status code https://docker.pkg.github.com/v2/a/x/manifests/1: 401 Unauthorized",
        Kind.WRONG_CREDENTIALS,
    ),
    # crane
    ("GET https://index.docker.io/v2/acme/x/manifests/1: MANIFEST_UNKNOWN: manifest unknown; unknown tag=1", Kind.NO_SUCH_IMAGE),
    (
        (
            "fetching manifest x: GET https://auth.docker.io/token?scope=x: unexpected status code 401 Unauthorized:"
            ' {"details":"incorrect username or password"}'
        ),
        Kind.WRONG_CREDENTIALS,
    ),
    ("UNAUTHORIZED: authentication required; [map[Action:pull Class: Name:acme/x Type:repository]]", Kind.WRONG_CREDENTIALS),
    # nothing about a registry
    ("no space left on device", None),
    ("skopeo did not finish: TimeoutExpired.", None),
    ("", None),
]


@pytest.mark.parametrize(("error", "kind"), REPORTED)
def test_the_words_of_the_clients_are_known(error: str, kind: Kind | None) -> None:
    assert kind_of(error) is kind


def test_what_an_image_is_called_says_nothing() -> None:
    assert kind_of("writing to docker://r.example.com/acme/unauthorized: no space left on device") is None
    assert kind_of('open "/images/x509: "/layout: no space left on device') is not Kind.NO_SUCH_IMAGE


def test_it_looks_at_the_beginning_only() -> None:
    assert kind_of("-" * 2000 + " manifest unknown") is None


def test_skopeos_own_words(htpasswd_registry: Registry, token_registry: Registry, tls_registry: Registry, tmp_path: Path) -> None:
    def said(registry: Registry, image: str = "attributed/there:1", password: str | None = None) -> str:
        repository, _, tag = image.partition(":")
        pulled = registry.pull(repository, tag, registry.username, registry.password if password is None else password, tmp_path / "layout")
        assert pulled.returncode != 0
        return pulled.stderr

    for registry in (htpasswd_registry, token_registry):
        registry.push("attributed/there", "1")
        assert kind_of(said(registry, password="wrong")) is Kind.WRONG_CREDENTIALS
        assert kind_of(said(registry, "attributed/there:2")) is Kind.NO_SUCH_IMAGE
    token_registry.refused.add("attributed/*")
    assert kind_of(said(token_registry)) is Kind.MISSING_OR_NO_ACCESS
    assert kind_of(said(Registry(f"127.0.0.1:{free_port()}", "acme-bot", "secret", tmp_path))) is Kind.UNREACHABLE
    command = [str(system.skopeo()), "copy", f"docker://{tls_registry.host}/a/b:1", f"oci:{tmp_path}/layout:1"]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    untrusted = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert kind_of(untrusted.stderr) is Kind.TLS
