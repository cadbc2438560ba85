"""Sessions of botocore that know what they are told, and nothing of what it would look for in the environment and in files.

It looks there for profiles, endpoints, proxies, certificates and settings of every kind, and an instance's metadata service for roles.
"""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

from webapp.vault import Secret

SECONDS = 5
"""To connect, and again for the answer."""

_TRIES = 2


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs: an access key's id and secret, and the session token of temporary ones."""

    id: str
    secret: Secret
    token: Secret | None = None


@cache
def _loader() -> Any:
    """The descriptions of AWS's services that come with botocore, and none that lie in a home directory. Reading them takes 0.1 s: once."""
    from botocore.loaders import Loader  # noqa: PLC0415  an optional extra

    return Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)


def new_session() -> Any:
    """A session with the library's defaults. Raises ModuleNotFoundError where botocore is not installed."""
    import botocore.session  # noqa: PLC0415  an optional extra
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider  # noqa: PLC0415

    defaults = {name: variable[2] for name, variable in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    defaults |= {"config_file": os.devnull, "credentials_file": os.devnull, "s3": {}, "proxies_config": {}}
    session = botocore.session.Session()
    store = ConfigValueStore(mapping={name: ConstantProvider(value) for name, value in defaults.items()})
    session.register_component("config_store", store)
    session.register_component("data_loader", _loader())
    return session


def new_client(session: Any, service: str, endpoint: str, region: str, keys: Keys | None) -> Any:
    """A client of this service at this address; without keys what it asks is not signed."""
    from botocore import UNSIGNED  # noqa: PLC0415  an optional extra
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=SECONDS,
        read_timeout=SECONDS,
        retries={"mode": "standard", "total_max_attempts": _TRIES},
        proxies={},
        ignore_configured_endpoint_urls=True,
        signature_version=UNSIGNED if keys is None else None,
    )
    signs = {}
    if keys is not None:
        signs = {"aws_access_key_id": keys.id, "aws_secret_access_key": keys.secret.reveal().decode("utf-8", "replace")}
        if keys.token:
            signs["aws_session_token"] = keys.token.reveal().decode()
    return session.create_client(service, region_name=region, endpoint_url=endpoint, config=config, **signs)


def own_keys(session: Any, sts_endpoint: str, region: str) -> Keys:
    """The keys of this process's own role, as botocore's usual chain finds them: in its environment, its pod, container or instance.

    Files of a home directory are not in it, and no proxy is asked. Raises botocore's exceptions.
    """
    from botocore import credentials, httpsession, utils  # noqa: PLC0415  an optional extra
    from botocore.exceptions import CredentialRetrievalError, NoCredentialsError  # noqa: PLC0415

    def client(name: str, **_: Any) -> Any:
        return new_client(session, name, sts_endpoint, region, None)

    instance = utils.InstanceMetadataFetcher(timeout=1, num_attempts=2, user_agent=session.user_agent())
    instance._session = httpsession.URLLib3Session(timeout=1, proxies={})  # it would take the environment's
    chain = [
        credentials.EnvProvider(),
        credentials.AssumeRoleWithWebIdentityProvider(lambda: {"profiles": {}}, client, "default", cache={}),
        credentials.ContainerProvider(),
        credentials.InstanceMetadataProvider(iam_role_fetcher=instance),
    ]
    try:
        found = credentials.CredentialResolver(chain).load_credentials()
        keys = None if found is None else found.get_frozen_credentials()
    except OSError:  # the file with a pod's token
        raise CredentialRetrievalError(provider="environment", error_msg="a file cannot be read") from None
    if keys is None:
        raise NoCredentialsError
    return Keys(keys.access_key, Secret(keys.secret_key.encode()), Secret((keys.token or "").encode()))
