"""The pages of the registry credentials."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials.credential import AuthMethod, Credential
from webapp.credentials.forms import LABELS, CredentialForm, ParsedCredential, parse
from webapp.credentials.repository import ORDERS, CredentialRepository
from webapp.credentials.service_account_key import check_key_file
from webapp.credentials.versions import KEEPING, USUAL
from webapp.errors import Invalid, NotFound, Stale
from webapp.nonce import new_nonce
from webapp.records import FIRST_PAGE, Wanted
from webapp.web.addresses import address, list_context, wanted_page
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render, swapped, wants_fragment
from webapp.web.routing import page

_METHODS = [(method.value, method.label) for method in AuthMethod]


def _repository(request: Request) -> CredentialRepository:
    found: CredentialRepository = request.app.state.credentials
    return found


async def list_credentials(request: Request) -> Response:
    """The registry credentials of the account."""
    context = await _list_context(request, wanted_page(request))
    return render(request, "credentials/list.html", context, fragment="credentials/_rows.html")


async def new(request: Request) -> Response:
    """The form for a registry credential."""
    return _new_page(request, CredentialForm(), {}, new_nonce())


async def create(request: Request) -> Response:
    """Store a registry credential."""
    form = await read_form(request)
    typed = CredentialForm.read(form)
    parsed, errors = parse(form, typed, new=True)
    if parsed is not None and parsed.secret is not None:
        try:
            stored, is_new = await _repository(request).add(actor(request), parsed.fields, parsed.secret, form.text("form_nonce"))
        except Invalid as error:
            errors = error.errors
        else:
            if not is_new:  # what the form made the first time need not be what it says now
                return done(request, address("/registry-credentials", {"q": stored.name}), "form-repeated")
            notice = _notice("credential-created", parsed)
            if not wants_fragment(request):
                return done(request, "/registry-credentials", notice)
            context = await _list_context(request, FIRST_PAGE) | {"notes": parsed.notes, "created": stored}
            return swapped(
                request, "credentials/_rows.html", context, target="#credentials-rows", events={"closeDialog": True}, notice=notice
            )
    return _new_page(request, typed, errors, form.text("form_nonce"), status=422)


async def auth_fields(request: Request) -> Response:
    """The fields of one authentication method, for the toggle."""
    method = request.query_params.get("auth_method", "")
    credential_id = request.query_params.get("credential", "")
    credential = await _repository(request).get(actor(request), credential_id) if credential_id else None
    typed = CredentialForm() if credential is None else CredentialForm.of(credential)
    typed = replace(typed, auth_method=method if method in list(AuthMethod) else AuthMethod.PASSWORD.value)
    context = {
        "form": typed,
        "errors": {},
        "credential": credential,
        "replace": "" if credential is None else credential.auth_method.value,
        "preserve": False,
        "only": typed.auth_method,
    }
    return render(request, "credentials/auth_fields.html", context, fragment="credentials/_auth_fields.html")


async def key_upload(request: Request) -> Response:
    """What is in a key file, or what is wrong with it; the file is not kept, and not shown."""
    form = await read_form(request)
    upload = form.upload("service_account_key_file")
    facts, problem = None, "No file is chosen. Choose the .json file of the service account key."
    if upload is not None:
        try:
            facts, problem = check_key_file(upload.content.reveal(), uploaded=True), ""
        except ValueError as error:
            problem = str(error)
    context = {"facts": facts, "problem": problem}
    return render(request, "credentials/key_status.html", context, fragment="credentials/_key_status.html", status=422 if problem else 200)


async def show(request: Request) -> Response:
    """One registry credential: its form, or what it is for those who may not change it."""
    credential = await _repository(request).get(actor(request), request.path_params["id"])
    return await _edit_page(request, credential, CredentialForm.of(credential), {})


async def save(request: Request) -> Response:
    """Change a registry credential; its value stays when none is entered."""
    form = await read_form(request)
    credential = await _repository(request).get(actor(request), request.path_params["id"])
    typed, version = CredentialForm.read(form), form.number("version")
    parsed, errors = parse(form, typed, new=False)
    if parsed is None:
        return await _edit_page(request, credential, typed, errors, version=version, keep=form.text("keep_previous"), status=422)
    try:
        await _repository(request).save(actor(request), credential.id, parsed.fields, parsed.secret, version, parsed.keep)
    except Invalid as error:
        return await _edit_page(request, credential, typed, error.errors, version=version, keep=form.text("keep_previous"), status=422)
    except Stale:
        credential = await _repository(request).get(actor(request), credential.id)
        return await _edit_page(request, credential, typed, {}, stale=True, status=412)
    code = "credential-saved" if parsed.secret is None else "credential-replaced"
    return done(request, "/registry-credentials", _notice(code, parsed))


async def roll_back(request: Request) -> Response:
    """Make a value that is kept the current one again."""
    form, credential_id = await read_form(request), request.path_params["id"]
    await _repository(request).roll_back(actor(request), credential_id, _number(request), form.number("version"))
    return done(request, f"/registry-credentials/{credential_id}", "credential-rolled-back")


async def ask_destroy(request: Request) -> Response:
    """The confirmation before a value that is kept is destroyed."""
    credential = await _repository(request).get(actor(request), request.path_params["id"])
    number = _number(request)
    if number not in [version.secret_version for version in await _repository(request).versions.kept(actor(request), credential.id)]:
        raise NotFound(f"Version {number} of this registry credential's value is not kept any more.")
    context = {"credential": credential, "number": number}
    return render(request, "credentials/destroy.html", context, fragment="credentials/_destroy.html")


async def destroy(request: Request) -> Response:
    """Destroy a value that is kept, before its time."""
    credential = await _repository(request).get(actor(request), request.path_params["id"])
    await _repository(request).versions.destroy(actor(request), credential, _number(request))
    return done(request, f"/registry-credentials/{credential.id}", "version-destroyed")


def _number(request: Request) -> int:
    """The version that the address names. Raises NotFound."""
    text = request.path_params["number"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise NotFound("There is no such version.")
    return int(text)


async def _list_context(request: Request, wanted: Wanted) -> dict[str, object]:
    wanted = replace(wanted, order=wanted.order if wanted.order in ORDERS and not wanted.query else "")
    found = await _repository(request).page(actor(request), wanted)
    return list_context("/registry-credentials", wanted, found) | {"notes": (), "created": None}


def _new_page(request: Request, typed: CredentialForm, errors: dict[str, str], nonce: str, status: int = 200) -> Response:
    context = {
        "form": typed.to_show(),
        "errors": errors,
        "labels": LABELS,
        "methods": _METHODS,
        "nonce": nonce,
        "credential": None,
        "replace": "",
        "changes": [],
        "preserve": status == 422,
        "only": _only(request, typed),
    }
    return render(request, "credentials/new.html", context, fragment="credentials/_form.html", status=status)


async def _edit_page(
    request: Request,
    credential: Credential,
    typed: CredentialForm,
    errors: dict[str, str],
    *,
    version: int | None = None,
    stale: bool = False,
    keep: str = USUAL,
    status: int = 200,
) -> Response:
    context = {
        "form": typed.to_show(),
        "errors": errors,
        "labels": LABELS,
        "methods": _METHODS,
        "nonce": "",
        "credential": credential,
        "replace": credential.auth_method.value,
        "version": credential.version if version is None else version,
        "changes": _differences(credential, typed) if stale else [],
        "preserve": status == 422,
        "only": _only(request, typed),
        "images": await _repository(request).images_using(actor(request), credential.id),
        "kept": await _repository(request).versions.kept(actor(request), credential.id),
        "keeping": [(key, label) for key, (label, _) in KEEPING.items()],
        "keep": keep,
    }
    fragment = "credentials/_form.html" if principal(request).may(Permission.EDIT) else None
    return render(request, "credentials/edit.html", context, fragment=fragment, status=status)


def _differences(credential: Credential, typed: CredentialForm) -> list[tuple[str, str]]:
    stored = CredentialForm.of(credential)
    changed = [(LABELS[name], getattr(stored, name)) for name in CredentialForm.__slots__ if getattr(stored, name) != getattr(typed, name)]
    return changed or [("Saved by", credential.updated_by)]


def _notice(code: str, parsed: ParsedCredential) -> str:
    """The notice's code, in the wording that says so when only the host of what was typed as Registry URL is kept."""
    return f"{code}-host" if parsed.notes else code


def _only(request: Request, typed: CredentialForm) -> str:
    """The one method whose fields stand in the form: the chosen one with script, both ("") without."""
    return typed.auth_method if wants_fragment(request) else ""


ROUTES = [
    page("/registry-credentials", list_credentials, needs=Permission.SEE, name="registry-credentials"),
    page("/registry-credentials", create, needs=Permission.EDIT, name="registry-credential-create", methods=["POST"]),
    page("/registry-credentials/new", new, needs=Permission.EDIT, name="registry-credential-new"),
    page("/registry-credentials/auth-fields", auth_fields, needs=Permission.EDIT, name="registry-credential-auth-fields"),
    page("/registry-credentials/key-upload", key_upload, needs=Permission.EDIT, name="registry-credential-key-upload", methods=["POST"]),
    page("/registry-credentials/{id}", show, needs=Permission.SEE, name="registry-credential"),
    page("/registry-credentials/{id}", save, needs=Permission.EDIT, name="registry-credential-save", methods=["POST"]),
    page(
        "/registry-credentials/{id}/versions/{number}/roll-back",
        roll_back,
        needs=Permission.EDIT,
        name="registry-credential-roll-back",
        methods=["POST"],
    ),
    page(
        "/registry-credentials/{id}/versions/{number}/destroy",
        ask_destroy,
        needs=Permission.EDIT,
        name="registry-credential-ask-version-destroy",
    ),
    page(
        "/registry-credentials/{id}/versions/{number}/destroy",
        destroy,
        needs=Permission.EDIT,
        name="registry-credential-version-destroy",
        methods=["POST"],
    ),
]
