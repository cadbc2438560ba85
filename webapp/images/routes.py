"""The pages of the images."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from webapp.errors import Conflict, Invalid, Stale
from webapp.images.forms import LABELS, ImageForm
from webapp.images.image import Image, ImageFields
from webapp.images.repository import CredentialChoice, ImageRepository
from webapp.images.user_data import parse_user_data
from webapp.nonce import new_nonce
from webapp.reference import Reference
from webapp.web.addresses import address, list_context, wanted_page
from webapp.web.forms import Form, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.stepup import confirm, step_up

_KINDS = ("", "official", "custom")


def _repository(request: Request) -> ImageRepository:
    found: ImageRepository = request.app.state.images
    return found


async def list_images(request: Request) -> Response:
    """The catalog: the account's own images and the official ones."""
    kind = request.query_params.get("kind", "")
    kind = kind if kind in _KINDS else ""
    wanted = wanted_page(request)
    found = await _repository(request).page(actor(request), wanted, kind=kind)
    context = list_context("/images", wanted, found, {"kind": kind}) | {"kind": kind}
    return render(request, "images/list.html", context, fragment="images/_rows.html")


async def new(request: Request) -> Response:
    """The form for an image."""
    return await _new_page(request, ImageForm(), {}, new_nonce())


async def create(request: Request) -> Response:
    """Make an image."""
    form = await read_form(request)
    typed = ImageForm.read(form)
    if form.has("preview"):
        return await _new_page(request, typed, {}, form.text("form_nonce"), preview=await _preview(request, form))
    fields, errors = typed.parse()
    if fields is not None:
        try:
            image, is_new = await _repository(request).add(actor(request), fields, form.text("form_nonce"))
        except Invalid as error:
            errors = error.errors
        else:
            if not is_new:  # what the form made the first time need not be what it says now
                return done(request, address("/images", {"q": image.name}), "form-repeated")
            return done(request, "/images", "image-created")
    return await _new_page(request, typed, errors, form.text("form_nonce"), status=422)


async def show(request: Request) -> Response:
    """One image: its form, or what it is for those who may not change it."""
    image = await _repository(request).get(actor(request), request.path_params["id"])
    return await _edit_page(request, image, ImageForm.of(image), {})


async def save(request: Request) -> Response:
    """Change an image."""
    form = await read_form(request)
    image = await _repository(request).get_own(actor(request), request.path_params["id"])
    typed = ImageForm.read(form)
    if form.has("preview"):
        return await _edit_page(request, image, typed, {}, version=form.number("version"), preview=await _preview(request, form))
    fields, errors = typed.parse()
    if fields is not None and await _decides_a_hand_over(request, image, fields):
        errors |= await confirm(request, form)
    if fields is None or errors:
        return await _edit_page(request, image, typed, errors, version=form.number("version"), status=422)
    try:
        await _repository(request).save(actor(request), image.id, fields, form.number("version"))
    except Invalid as error:
        return await _edit_page(request, image, typed, error.errors, version=form.number("version"), status=422)
    except Stale:
        image = await _repository(request).get_own(actor(request), image.id)
        return await _edit_page(request, image, typed, {}, stale=True, status=412)
    return done(request, "/images", "image-saved")


async def ask_delete(request: Request) -> Response:
    """The confirmation before an image is deleted, or who uses it."""
    return await _delete_page(request)


async def delete(request: Request) -> Response:
    """Delete an image that nothing uses; 409 with the list of who uses it otherwise."""
    try:
        await _repository(request).delete(actor(request), request.path_params["id"])
    except Conflict:
        return await _delete_page(request, status=409)
    return done(request, "/images", "image-deleted")


async def credential_options(request: Request) -> Response:
    """The field "Docker Registry Auth" for the reference that was typed: matching hosts first."""
    typed = ImageForm(
        docker_image_url=request.query_params.get("docker_image_url", ""),
        registry_credential_id=request.query_params.get("registry_credential_id", ""),
    )
    context = {"form": typed, "errors": {}, "choices": await _choices(request, typed)}
    return render(request, "images/credential_options.html", context, fragment="images/_credential_field.html")


async def preview(request: Request) -> Response:
    """What the user data renders to, for the form that htmx asks from; without it the form itself is sent, with its button's name."""
    form = await read_form(request)
    found = await _preview(request, form)
    return render(request, "images/preview.html", {"preview": found}, fragment="images/_preview.html", status=422 if found.problem else 200)


@dataclass(frozen=True, slots=True)
class Preview:
    """What user data renders to, with secrets masked, or what is wrong with it."""

    text: str = ""
    problem: str = ""


async def _preview(request: Request, form: Form) -> Preview:
    try:
        return Preview(await _repository(request).preview(actor(request), parse_user_data(form.text("user_data"))))
    except Invalid as error:
        return Preview(problem=" ".join(error.errors.values()))
    except ValueError as error:
        return Preview(problem=str(error))


async def _decides_a_hand_over(request: Request, image: Image, fields: ImageFields) -> bool:
    """Whether the change decides what agents are handed from now on: that asks for the password, as assigning an image does."""
    before = (image.reference, image.credential_id, image.user_data, image.pin_digest)
    if before == (fields.reference, fields.credential_id, fields.user_data, fields.pin_digest):
        return False
    use = await _repository(request).use(actor(request), image.id)
    return bool(use.agents) or use.is_default


async def _new_page(
    request: Request, typed: ImageForm, errors: dict[str, str], nonce: str, *, preview: Preview | None = None, status: int = 200
) -> Response:
    context = {
        "preview": preview,
        "form": typed,
        "errors": errors,
        "labels": LABELS,
        "choices": await _choices(request, typed),
        "nonce": nonce,
        "image": None,
        "changes": [],
        "fresh": True,
    }
    return render(request, "images/new.html", context, fragment="images/_form.html", status=status)


async def _edit_page(
    request: Request,
    image: Image,
    typed: ImageForm,
    errors: dict[str, str],
    *,
    version: int | None = None,
    stale: bool = False,
    preview: Preview | None = None,
    status: int = 200,
) -> Response:
    context = {
        "preview": preview,
        "form": typed,
        "errors": errors,
        "labels": LABELS,
        "choices": await _choices(request, typed),
        "nonce": "",
        "image": image,
        "version": image.version if version is None else version,
        "changes": _differences(image, typed) if stale else [],
        "use": await _repository(request).use(actor(request), image.id),
        "check_errors": {},
        "checked": await _repository(request).last_check(actor(request), image.id),
        "step_up": step_up(request),
    }
    fragment = "images/_form.html" if principal(request).may(Permission.EDIT) and not image.official else None
    return render(request, "images/edit.html", context, fragment=fragment, status=status)


async def _delete_page(request: Request, status: int = 200) -> Response:
    image = await _repository(request).get_own(actor(request), request.path_params["id"])
    use = await _repository(request).use(actor(request), image.id)
    return render(request, "images/delete.html", {"image": image, "use": use}, fragment="images/_delete.html", status=status)


def _differences(image: Image, typed: ImageForm) -> list[tuple[str, str]]:
    stored = ImageForm.of(image)
    words = {"registry_credential_id": image.credential_name or "none", "pin_digest": "yes" if image.pin_digest else "no"}
    shown = {name: getattr(stored, name) for name in LABELS} | words
    changed = [(LABELS[name], shown[name]) for name in LABELS if getattr(stored, name) != getattr(typed, name)]
    return changed or [("Saved by", image.updated_by)]


async def _choices(request: Request, typed: ImageForm) -> list[CredentialChoice]:
    return await _repository(request).credential_choices(actor(request), _host(typed), typed.registry_credential_id)


def _host(typed: ImageForm) -> str:
    try:
        return Reference.parse(typed.docker_image_url.strip()).host
    except ValueError:
        return ""


ROUTES = [
    page("/images", list_images, needs=Permission.SEE, name="images"),
    page("/images", create, needs=Permission.EDIT, name="image-create", methods=["POST"]),
    page("/images/new", new, needs=Permission.EDIT, name="image-new"),
    page("/images/credential-options", credential_options, needs=Permission.EDIT, name="image-credential-options"),
    page("/images/user-data-preview", preview, needs=Permission.EDIT, name="image-user-data-preview", methods=["POST"]),
    page("/images/{id}", show, needs=Permission.SEE, name="image"),
    page("/images/{id}", save, needs=Permission.EDIT, name="image-save", methods=["POST"]),
    page("/images/{id}/delete", ask_delete, needs=Permission.EDIT, name="image-ask-delete"),
    page("/images/{id}/delete", delete, needs=Permission.EDIT, name="image-delete", methods=["POST"]),
]
