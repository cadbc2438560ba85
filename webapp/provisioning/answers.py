"""A hand-over as the agent API answers it: here alone a secret becomes text."""

import base64
from typing import Any

import orjson

from webapp.clock import rfc3339
from webapp.provisioning.provision import Provision
from webapp.reference import DOCKER_HUB, same_registry

DOCKER_HUB_KEY = "https://index.docker.io/v1/"
"""What Docker's config.json calls Docker Hub."""


def as_json(handed: Provision) -> dict[str, Any]:
    """The hand-over as the agent API answers it; the one place in which a secret becomes text."""
    auth = handed.auth
    return {
        "image": {"name": handed.image_name, "reference": handed.reference},
        "registry_auth": None
        if auth is None
        else {
            "registry": auth.registry,
            "username": auth.username,
            "password": auth.password.reveal().decode("utf-8"),
            "expires_at": None if auth.expires_at is None else rfc3339(auth.expires_at),
        },
        "user_data": None if handed.user_data is None else handed.user_data.reveal().decode("utf-8"),
        "provision_id": handed.id,
    }


def as_docker_config(handed: Provision) -> dict[str, Any]:
    """The hand-over as a docker `config.json`: the reference's host is the key in `auths`.

    For Docker Hub the key is `https://index.docker.io/v1/`, as Docker itself writes it.
    """
    if handed.auth is None:
        return {"auths": {}}
    key = DOCKER_HUB_KEY if same_registry(handed.host, DOCKER_HUB) else handed.host
    pair = handed.auth.username.encode() + b":" + handed.auth.password.reveal()
    return {"auths": {key: {"auth": base64.b64encode(pair).decode("ascii")}}}


def encoded(document: dict[str, Any]) -> bytes:
    """The document as JSON in UTF-8 (RFC 8259)."""
    return orjson.dumps(document)
