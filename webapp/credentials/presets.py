"""The registries that people use most: what is the same for everybody at each of them, and which token to make there.

Plain data. Each line rests on the registry's own documentation, named beside it.
"""

import re
from dataclasses import dataclass

from webapp.credentials.credential import AuthMethod
from webapp.credentials.ecr_host import looks_like_ecr


@dataclass(frozen=True, slots=True)
class Preset:
    """A registry. `host` is empty where it is one's own; `token` says which token to make, and with which scopes.

    None of these tokens has a user name that is the same for everybody, but where the method has one.
    """

    key: str
    label: str
    host: str
    method: AuthMethod
    token: str
    hosts: str = ""
    """A regular expression of the hosts that it is, where `host` alone does not tell."""

    def serves(self, host: str) -> bool:
        """Whether a credential for this host is one of this registry."""
        if self.method is AuthMethod.AWS_ECR:
            return looks_like_ecr(host) is not None
        return (bool(self.host) and host == self.host) or (bool(self.hosts) and re.fullmatch(self.hosts, host) is not None)


PRESETS = (
    # https://docs.github.com/packages/working-with-a-github-packages-registry/working-with-the-container-registry
    Preset(
        "ghcr", "GitHub Container Registry (GHCR)", "ghcr.io", AuthMethod.PASSWORD,
        "Make a personal access token (classic) with the scope read:packages and no other; fine-grained tokens cannot read packages."
        " The username is the GitHub user that the token belongs to.",
    ),
    # https://docs.docker.com/security/access-tokens/ and https://docs.docker.com/enterprise/security/access-tokens/
    Preset(
        "docker-hub", "Docker Hub", "docker.io", AuthMethod.PASSWORD,
        "Make a personal access token with the permission Read-only; the username is your Docker ID, not your email address."
        " Or an organization access token that may pull; the username is the organization then.",
        r"(?:index\.|registry-1\.)?docker\.io",
    ),
    # https://docs.aws.amazon.com/AmazonECR/latest/userguide/security-iam-awsmanpol.html
    Preset(
        "ecr", "Amazon ECR", "", AuthMethod.AWS_ECR,
        "Make an access key for an IAM user with the policy AmazonEC2ContainerRegistryPullOnly, or one that may do no more than assume"
        " a role with it. The host is such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com.",
    ),
    # https://cloud.google.com/artifact-registry/docs/docker/authentication#json-key
    Preset(
        "artifact-registry", "Google Artifact Registry", "", AuthMethod.GCP_SERVICE_ACCOUNT_KEY,
        "Make a JSON key of a service account that has the role Artifact Registry Reader (roles/artifactregistry.reader) on the"
        " repository, and no other. The host is such as europe-docker.pkg.dev.",
        r"[a-z0-9-]+-docker\.pkg\.dev|(?:[a-z]+\.)?gcr\.io",
    ),
    # https://learn.microsoft.com/azure/container-registry/container-registry-repository-scoped-permissions
    Preset(
        "acr", "Azure Container Registry", "", AuthMethod.PASSWORD,
        "Make a repository-scoped token with a scope map of content/read, such as _repositories_pull; the username is the token's name."
        " Not the user 00000000-0000-0000-0000-000000000000, whose tokens die after 3 hours. The host is such as acme.azurecr.io.",
        r"[a-z0-9-]+\.azurecr\.(?:io|cn|us)",
    ),
    # https://docs.quay.io/glossary/robot-accounts.html
    Preset(
        "quay", "Quay", "quay.io", AuthMethod.PASSWORD,
        "Make a robot account with the permission Read on the repositories. The username is the robot's whole name, such as acme+puller.",
    ),
    # https://docs.gitlab.com/user/project/deploy_tokens/
    Preset(
        "gitlab", "GitLab", "registry.gitlab.com", AuthMethod.PASSWORD,
        "Make a deploy token of the project or group with the scope read_registry and no other. The username is the one that GitLab shows"
        " with it, such as gitlab+deploy-token-123. For a GitLab of your own, enter its registry's host.",
    ),
    # https://goharbor.io/docs/main/working-with-projects/project-configuration/create-robot-accounts/
    Preset(
        "harbor", "Harbor", "", AuthMethod.PASSWORD,
        "Make a robot account of the project with the permission Pull Repository and no other. The username is the robot's whole name,"
        " prefix included, such as robot$acme+puller.",
    ),
    Preset(
        "other", "Other", "", AuthMethod.PASSWORD,
        "Make a token of a user of its own that may pull and do nothing else, and enter when it expires.",
    ),
)  # fmt: skip
"""In the order of the choice."""

_BY_KEY = {preset.key: preset for preset in PRESETS}


def preset_of(key: str) -> Preset | None:
    """The preset with this key; None for no key, and for one that there is not."""
    return _BY_KEY.get(key)


def preset_for(host: str) -> Preset | None:
    """The registry that this host is; None where the host does not tell."""
    return next((preset for preset in PRESETS if preset.serves(host)), None)
