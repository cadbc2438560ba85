"""What an agent's reported error means: the words of skopeo, podman, docker, containerd and crane, mapped to the kinds of a check.

The text is untrusted and only compared with: a search for fixed words, so that it is linear in its length. What may have been named by
somebody (an image, a URL) is left out first, so that a repository called `unauthorized` says nothing.
"""

from webapp.registry.kinds import Kind

LONGEST = 2000
"""Characters that are looked at."""

_NAME = "…"
"""What stands for a word that somebody may have chosen."""

# In this order: what is certain before what is said of several things. `denied` and `unauthorized` come last: registries that hide what
# one may not see say them of what is missing, too, and docker puts "repository does not exist or may require 'docker login'" before all.
_WORDS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (Kind.UNREACHABLE, ("tls handshake timeout",)),
    (
        Kind.TLS,
        (
            "x509: ",
            "tls: ",
            "certificate signed by unknown authority",
            "certificate verify failed",
            "certificate has expired",
            "server gave http response to https client",
            "first record does not look like a tls handshake",
            "ssl routines",
        ),
    ),
    (
        Kind.UNREACHABLE,
        (
            "connection refused",
            "connection reset by peer",
            "connection timed out",
            "no such host",
            "no route to host",
            "network is unreachable",
            "host is down",
            "i/o timeout",
            "context deadline exceeded",
            "client.timeout exceeded",
            "name resolution",
            "server misbehaving",
            "proxyconnect ",
            "toomanyrequests",
            "too many requests",
            "rate limit",
            "500 internal server error",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway time",
            "unexpected eof",
        ),
    ),
    (
        Kind.NO_SUCH_IMAGE,
        (
            "manifest unknown",
            "manifest_unknown",
            "name unknown",
            "name_unknown",
            "repository name not known to registry",
            "does not exist in the registry",  # Amazon ECR
            "404 not found",
            f"{_NAME}: not found",  # containerd
        ),
    ),
    (
        Kind.WRONG_CREDENTIALS,
        (
            "invalid username/password",
            "incorrect username or password",
            "wrong username or password",
            "bad username or password",
            "invalid username or password",
            "username or password is incorrect",
            "authorization token has expired",  # Amazon ECR
            "authorization token is invalid",
            "no basic auth credentials",
            "http basic: access denied",  # GitLab
            "invalid_grant",  # Google
            "login failed",
            "bad credentials",
            "invalid token",
            "authentication failed",
            "unauthenticated",
        ),
    ),
    (
        Kind.MAY_NOT_PULL,
        (
            "is not authorized to perform",  # Amazon ECR, by its policies
            "permission_denied: read_package",  # GHCR
            "does not match expected scopes",
            "access token has insufficient scopes",  # Docker Hub
        ),
    ),
    (
        Kind.MISSING_OR_NO_ACCESS,
        (
            "repository does not exist or may require",
            "or it may not exist",  # Artifact Registry
            "requested access to the resource is denied",
            "access to the requested resource is not authorized",  # Quay
            "unauthorized to access repository",  # Harbor
            "access forbidden",  # GitLab
            "insufficient_scope",
            "pull access denied",
            "permission_denied",
            "denied: ",
            "403 forbidden",
            "status 403",
        ),
    ),
    (
        Kind.WRONG_CREDENTIALS,
        ("authentication required", "authorization failed", "401 unauthorized", "status 401", "unauthorized"),
    ),
)

_NO_NAMES = ("i/o", "username/password")
"""Words with a slash that are no image's and no URL's."""


def kind_of(error: str) -> Kind | None:
    """What became of the pull that ended so; None where the words say nothing that is known."""
    words = error[:LONGEST].lower().split()
    text = " ".join(_NAME + word[-1] if "/" in word and not word.startswith(_NO_NAMES) else word for word in words)
    return next((kind for kind, phrases in _WORDS if any(phrase in text for phrase in phrases)), None)
