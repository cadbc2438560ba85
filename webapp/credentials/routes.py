"""The pages of the registry credentials."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from webapp.credentials import connection_routes, preset_routes, version_routes
from webapp.credentials.connection_routes import try_connection
from webapp.credentials.credential import AuthMethod, Credential
from webapp.credentials.expiry import FROM_VALUE
from webapp.credentials.forms import CredentialForm, ParsedCredential, parse
from webapp.credentials.page_forms import edit_page, fields_context, new_page, own_role, repository
from webapp.credentials.repository import ORDERS, refuse_collecting
from webapp.credentials.service_account_key import check_key_file
from webapp.errors import Invalid, Stale
from webapp.records import FIRST_PAGE, Wanted
from webapp.web.addresses import address, list_context, wanted_page
from webapp.web.forms import Form, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor
from webapp.web.rendering import done, render, swapped, wants_fragment
from webapp.web.routing import page


async def list_credentials(request: Request) -> Response:
    """The registry credentials of the account."""
    context = await _list_context(request, wanted_page(request))
    return render(request, "credentials/list.html", context, fragment="credentials/_rows.html")


async def create(request: Request) -> Response:
    """Store a registry credential; the form again, with the other method, when it was that which was chosen."""
    form = await read_form(request)
    typed, nonce = CredentialForm.read(form), form.text("form_nonce")
    if _takes_the_offer(form):
        return new_page(request, typed.with_offer(), {}, nonce, focus="secret_access_key")
    if form.has("test"):  # without script; with it the button asks for the answer alone
        tested = await try_connection(request, form, None)
        return new_page(request, typed, dict(tested.errors), nonce, tested=tested, status=422 if tested.errors else 200)
    parsed, errors = parse(form, typed, new=True, own_role=own_role(request))
    if parsed is not None and parsed.secret is not None:
        try:
            stored, is_new = await repository(request).add(actor(request), parsed.fields, parsed.secret, nonce)
        except Invalid as error:
            errors = error.errors
        else:
            if not is_new:  # what the form made the first time need not be what it says now
                return done(request, address("/registry-credentials", {"q": stored.name}), "form-repeated")
            notice = _notice("credential-created", parsed, None, stored)
            if not wants_fragment(request):
                return done(request, "/registry-credentials", notice)
            context = await _list_context(request, FIRST_PAGE) | {"notes": parsed.notes, "created": stored}
            return swapped(
                request, "credentials/_rows.html", context, target="#credentials-rows", events={"closeDialog": True}, notice=notice
            )
    return new_page(request, typed, errors, nonce, status=422)


async def auth_fields(request: Request) -> Response:
    """The fields of one authentication method, for the toggle."""
    method = request.query_params.get("auth_method", "")
    credential_id = request.query_params.get("credential", "")
    credential = await repository(request).get(actor(request), credential_id) if credential_id else None
    typed = CredentialForm() if credential is None else CredentialForm.of(credential)
    typed = replace(typed, auth_method=method if method in list(AuthMethod) else AuthMethod.PASSWORD.value)
    context = fields_context(request, typed, {}, credential) | {"only": typed.auth_method}
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
    credential = await repository(request).get(actor(request), request.path_params["id"])
    return await edit_page(request, credential, CredentialForm.of(credential), {})


async def save(request: Request) -> Response:
    """Change a registry credential; its value stays when none is entered."""
    form = await read_form(request)
    credential = await repository(request).get(actor(request), request.path_params["id"])
    typed, version, keep = CredentialForm.read(form), form.number("version"), form.text("keep_previous")
    if _takes_the_offer(form):
        return await edit_page(request, credential, typed.with_offer(), {}, version=version, keep=keep, focus="secret_access_key")
    if form.has("test"):
        tested = await try_connection(request, form, credential)
        status = 422 if tested.errors else 200
        return await edit_page(request, credential, typed, dict(tested.errors), version=version, keep=keep, tested=tested, status=status)
    parsed, errors = parse(form, typed, new=False, own_role=own_role(request))
    if parsed is None:
        return await edit_page(request, credential, typed, errors, version=version, keep=keep, status=422)
    if typed.only_if_works and _replaces(credential, parsed):
        tested = await try_connection(request, form, credential)
        if tested.found is None or not tested.found.works:
            errors = dict(tested.errors) or {"only_if_works": "It does not work for every image, so the stored value stays: see below."}
            return await edit_page(request, credential, typed, errors, version=version, keep=keep, tested=tested, status=422)
    try:
        saved = await repository(request).save(actor(request), credential.id, parsed.fields, parsed.secret, version, parsed.keep)
    except Invalid as error:
        return await edit_page(request, credential, typed, error.errors, version=version, keep=keep, status=422)
    except Stale:
        credential = await repository(request).get(actor(request), credential.id)
        return await edit_page(request, credential, typed, {}, stale=True, status=412)
    code = "credential-saved" if saved.secret_version == credential.secret_version else "credential-replaced"
    return done(request, "/registry-credentials", _notice(code, parsed, credential, saved))


def _takes_the_offer(form: Form) -> bool:
    """Whether the form was sent by the button that chooses the method which it offered."""
    return form.text("use_method") == AuthMethod.AWS_ECR


def _replaces(credential: Credential, parsed: ParsedCredential) -> bool:
    """Whether the stored value would be replaced: also where this process's own role takes its place, which has none."""
    try:
        return refuse_collecting(credential, parsed.fields, parsed.secret) is not None
    except Invalid:
        return False  # it is refused when it is saved


async def _list_context(request: Request, wanted: Wanted) -> dict[str, object]:
    wanted = replace(wanted, order=wanted.order if wanted.order in ORDERS and not wanted.query else "")
    found = await repository(request).page(actor(request), wanted)
    return list_context("/registry-credentials", wanted, found) | {"notes": (), "created": None}


def _notice(code: str, parsed: ParsedCredential, before: Credential | None, stored: Credential) -> str:
    """The notice's code, in the wording that says what became of the Registry URL and of the expiry, where that is not what was typed."""
    code = f"{code}-host" if parsed.notes else code
    if stored.secret_version == (0 if before is None else before.secret_version):
        return code
    if stored.expiry_source == FROM_VALUE:
        return f"{code}-expiry"
    had_one = before is not None and before.expires_at is not None
    return f"{code}-cleared" if had_one and stored.expires_at is None else code


ROUTES = [
    page("/registry-credentials", list_credentials, needs=Permission.SEE, name="registry-credentials"),
    page("/registry-credentials", create, needs=Permission.EDIT, name="registry-credential-create", methods=["POST"]),
    *preset_routes.ROUTES,
    *connection_routes.DRAFT_ROUTES,
    page("/registry-credentials/auth-fields", auth_fields, needs=Permission.EDIT, name="registry-credential-auth-fields"),
    page("/registry-credentials/key-upload", key_upload, needs=Permission.EDIT, name="registry-credential-key-upload", methods=["POST"]),
    page("/registry-credentials/{id}", show, needs=Permission.SEE, name="registry-credential"),
    page("/registry-credentials/{id}", save, needs=Permission.EDIT, name="registry-credential-save", methods=["POST"]),
    *version_routes.ROUTES,
    *connection_routes.ROUTES,
]
