"""The page of the registry credential's form: for a new one, and for one that is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials.connection import ConnectionTest
from webapp.credentials.credential import AuthMethod, Credential
from webapp.credentials.forms import LABELS, CredentialForm
from webapp.credentials.parameters import HAND_OVERS, described
from webapp.credentials.presets import PRESETS, preset_for, preset_of
from webapp.credentials.repository import CredentialRepository
from webapp.credentials.versions import KEEPING, USUAL
from webapp.registry.allowed import Origin
from webapp.settings import Settings
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import render, wants_fragment

_METHODS = [(method.value, method.label) for method in AuthMethod]
_PRESETS = [("", "Choose one to see which token to make"), *((preset.key, preset.label) for preset in PRESETS)]


@dataclass(frozen=True, slots=True)
class Tested:
    """What the page shows of a test: what it found, or what is missing for one. `entered`: a value that the form does not bring back."""

    errors: Mapping[str, str] = field(default_factory=dict)
    found: ConnectionTest | None = None
    entered: bool = False


def repository(request: Request) -> CredentialRepository:
    """The registry credentials."""
    found: CredentialRepository = request.app.state.credentials
    return found


def own_role(request: Request) -> frozenset[Origin] | None:
    """Where this server's own role may go besides Amazon ECR; None where it is not switched on."""
    settings: Settings = request.app.state.settings
    return settings.allowed_registries if settings.aws_own_role else None


def fields_context(request: Request, typed: CredentialForm, errors: dict[str, str], credential: Credential | None) -> dict[str, object]:
    """What the fields of the authentication method need."""
    return {
        "form": typed.to_show(),
        "errors": errors,
        "credential": credential,
        "replace": "" if credential is None else credential.auth_method.value,
        "hand_overs": list(HAND_OVERS.items()),
        "own_role": own_role(request) is not None or bool(typed.ecr.own_role),
        "preserve": False,
        "focus": "",
    }


def new_page(
    request: Request,
    typed: CredentialForm,
    errors: dict[str, str],
    nonce: str,
    *,
    fragment: str = "credentials/_form.html",
    preserve: bool = False,
    focus: str = "",
    tested: Tested | None = None,
    status: int = 200,
) -> Response:
    """The form for a new credential. `focus` is the field to begin with, in place of Name."""
    context = fields_context(request, typed, errors, None) | {
        "labels": LABELS,
        "methods": _METHODS,
        "presets": _PRESETS,
        "preset": preset_of(typed.preset),
        "nonce": nonce,
        "tested": tested,
        "changes": [],
        "preserve": preserve or status == 422,
        "only": _only(request, typed),
        "focus": focus,
    }
    return render(request, "credentials/new.html", context, fragment=fragment, status=status)


async def edit_page(
    request: Request,
    credential: Credential,
    typed: CredentialForm,
    errors: dict[str, str],
    *,
    version: int | None = None,
    stale: bool = False,
    keep: str = USUAL,
    focus: str = "",
    tested: Tested | None = None,
    status: int = 200,
) -> Response:
    """The form of a credential that is stored, or what it is for those who may not change it."""
    context = fields_context(request, typed, errors, credential) | {
        "labels": LABELS,
        "methods": _METHODS,
        "preset": preset_for(credential.host),
        "method_facts": described(credential.auth_method, credential.parameters),
        "nonce": "",
        "tested": tested,
        "version": credential.version if version is None else version,
        "changes": _differences(credential, typed) if stale else [],
        "preserve": status == 422,
        "only": _only(request, typed),
        "images": await repository(request).images_using(actor(request), credential.id),
        "kept": await repository(request).versions.kept(actor(request), credential.id),
        "keeping": [(key, label) for key, (label, _) in KEEPING.items()],
        "keep": keep,
        "focus": focus,
    }
    fragment = "credentials/_form.html" if principal(request).may(Permission.EDIT) else None
    return render(request, "credentials/edit.html", context, fragment=fragment, status=status)


def _differences(credential: Credential, typed: CredentialForm) -> list[tuple[str, str]]:
    stored, mine = CredentialForm.of(credential).by_field(), typed.by_field()
    changed = [(LABELS[name], _words(now)) for name, now in stored.items() if now != mine[name]]
    return changed or [("Saved by", credential.updated_by)]


def _words(typed: str) -> str:
    """What was chosen, in the page's words."""
    return {**HAND_OVERS, "1": "yes", "": "–"}.get(typed, typed)


def _only(request: Request, typed: CredentialForm) -> str:
    """The one method whose fields stand in the form: the chosen one with script, all ("") without."""
    if not wants_fragment(request):
        return ""
    return typed.auth_method if typed.auth_method in list(AuthMethod) else AuthMethod.PASSWORD.value
