"""Settings → Encryption: the keys' state, and where the audit log's signed heads go."""

from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from webapp.clock import DAY
from webapp.encryption.key import MOST_WRAPS, OLDEST
from webapp.encryption.repository import KeyRepository
from webapp.kms_key import AWS_KMS
from webapp.settings import Settings
from webapp.vault import place_of
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import render
from webapp.web.routing import page


async def show(request: Request) -> Response:
    """The keys, their age and what is sealed with them; it shows no key."""
    repository: KeyRepository = request.app.state.keys
    state = request.app.state
    context = {
        "keys": await repository.keys(actor(request)),
        "root_place": _place(state.settings),
        "heads": state.heads,
        "sink": _without_query(state.heads.sink),
        "public_key": state.vault.public_key,
        "oldest_days": OLDEST // DAY,
        "most_wraps": MOST_WRAPS,
    }
    return render(request, "encryption/keys.html", context)


def _place(settings: Settings) -> tuple[str, str]:
    """Where the root key comes from: the kind of place, and which one."""
    place = place_of(settings)
    if isinstance(place, Path):
        handed_over = settings.credentials_dir is not None and place.is_relative_to(settings.credentials_dir)
        return ("systemd credential" if handed_over else "File"), str(place)
    return ("AWS KMS" if place.kind == AWS_KMS else "Transit engine of OpenBao or Vault"), str(place).partition(":")[2]


def _without_query(sink: str) -> str:
    """A collector's URL without what stands behind its path, which may be a key."""
    return sink if "://" not in sink else urlsplit(sink)._replace(query="", fragment="").geturl()


ROUTES = [page("/settings/encryption", show, needs=Permission.ADMINISTER, name="settings-encryption")]
