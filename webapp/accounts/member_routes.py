"""Settings → Members: who is in the account; an admin changes roles and removes members, and everybody may leave."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from webapp.accounts.invitations import Invitations
from webapp.accounts.member import ListedMember
from webapp.accounts.team import Team
from webapp.errors import Conflict, Stale
from webapp.roles import MEANINGS, ROLES, role_of
from webapp.web.addresses import list_context, wanted_page
from webapp.web.forms import Form, read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, principal
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.sessions import clear_session_cookie
from webapp.web.stepup import confirm, step_up

MEMBERS = "/settings/members"

CHOICES = [(role, role.capitalize(), MEANINGS[role]) for role in ROLES]
"""What the forms offer, the role that may least first."""

LABELS = {"email": "Email", "role": "Role", "current_password": "Your password"}


def _team(request: Request) -> Team:
    found: Team = request.app.state.team
    return found


async def show(request: Request) -> Response:
    """The members, for everybody; the invitations that are pending, for admins."""
    invitations: Invitations = request.app.state.invitations
    wanted = wanted_page(request)
    context = list_context(MEMBERS, wanted, await _team(request).page(actor(request), wanted)) | {
        "invitations": await invitations.pending(actor(request)) if principal(request).may(Permission.ADMINISTER) else [],
        "me": principal(request).member_id,
    }
    return render(request, "accounts/members.html", context)


async def ask_role(request: Request) -> Response:
    """The form for a member's role."""
    member = await _team(request).member(actor(request), request.path_params["id"])
    return await _role_page(request, member, member.role, {})


async def change_role(request: Request) -> Response:
    """Give a member another role. Asks for the password again."""
    form = await read_form(request)
    member = await _team(request).member(actor(request), request.path_params["id"])
    role, version, revokes = role_of(form.text("role")), form.number("version"), bool(form.text("revoke_bootstrap_tokens"))
    errors = {} if role is not None else {"role": "Choose one of the three roles."}
    errors |= await confirm(request, form)
    if errors or role is None:
        return await _role_page(request, member, form.text("role"), errors, version=version, revokes=revokes, status=422)
    try:
        await _team(request).change_role(actor(request), member.id, role, version, revoke_bootstrap_tokens=revokes)
    except Stale:
        return await _role_page(
            request, await _team(request).member(actor(request), member.id), role, {}, revokes=revokes, stale=True, status=412
        )
    except Conflict as error:
        return await _role_page(request, member, role, {"": str(error)}, revokes=revokes, status=409)
    return done(request, MEMBERS, "role-changed")


async def _role_page(
    request: Request,
    member: ListedMember,
    role: str,
    errors: dict[str, str],
    *,
    version: int | None = None,
    revokes: bool = True,
    stale: bool = False,
    status: int = 200,
) -> Response:
    context = {
        "member": member,
        "role": role,
        "bootstrap_tokens": (await _team(request).belongings(actor(request), member)).bootstrap_tokens,
        "revokes": revokes,
        "choices": CHOICES,
        "version": member.version if version is None else version,
        "changes": [("Role", member.role)] if stale else [],
        "errors": errors,
        "labels": LABELS,
        "step_up": step_up(request),
        "is_me": member.id == principal(request).member_id,
    }
    return render(request, "accounts/role.html", context, fragment="accounts/_role.html", status=status)


@dataclass(frozen=True, slots=True)
class _Removal:
    """A member who is to go, and the address of the form: another one for oneself."""

    member: ListedMember
    action: str
    is_me: bool


async def _removal(request: Request, *, leaves: bool) -> _Removal:
    mine = principal(request).member_id
    member = await _team(request).member(actor(request), mine if leaves else request.path_params["id"])
    is_me = member.id == mine
    return _Removal(member, f"{MEMBERS}/leave" if is_me else f"{MEMBERS}/{member.id}/remove", is_me)


async def ask_remove(request: Request) -> Response:
    """The confirmation before a member is removed; for oneself that is leaving."""
    removal = await _removal(request, leaves=False)
    return RedirectResponse(removal.action, status_code=303) if removal.is_me else await _remove_page(request, removal, {})


async def ask_leave(request: Request) -> Response:
    """The confirmation before one leaves the account."""
    return await _remove_page(request, await _removal(request, leaves=True), {})


async def remove(request: Request) -> Response:
    """Remove a member, and end all that is theirs. Asks for the password again."""
    return await _remove(request, await read_form(request), await _removal(request, leaves=False))


async def leave(request: Request) -> Response:
    """Leave the account: any member may, but the last admin."""
    return await _remove(request, await read_form(request), await _removal(request, leaves=True))


async def _remove(request: Request, form: Form, removal: _Removal) -> Response:
    revokes = bool(form.text("revoke_bootstrap_tokens"))
    errors = await confirm(request, form)
    if errors:
        return await _remove_page(request, removal, errors, revokes=revokes, status=422)
    try:
        await _team(request).remove(actor(request), removal.member.id, revoke_bootstrap_tokens=revokes)
    except Conflict as error:
        return await _remove_page(request, removal, {"": str(error)}, revokes=revokes, status=409)
    if not removal.is_me:
        return done(request, MEMBERS, "member-removed")
    response = done(request, "/login", "left")
    clear_session_cookie(response, request.app.state.settings)
    return response


async def _remove_page(request: Request, removal: _Removal, errors: dict[str, str], *, revokes: bool = True, status: int = 200) -> Response:
    context = {
        "member": removal.member,
        "action": removal.action,
        "is_me": removal.is_me,
        "belongings": await _team(request).belongings(actor(request), removal.member),
        "revokes": revokes,
        "errors": errors,
        "labels": LABELS,
        "step_up": step_up(request),
    }
    return render(request, "accounts/remove.html", context, fragment="accounts/_remove.html", status=status)


ROUTES = [
    page(MEMBERS, show, needs=Permission.SEE, name="members"),
    page(f"{MEMBERS}/leave", ask_leave, needs=Permission.SEE, name="member-ask-leave"),
    page(f"{MEMBERS}/leave", leave, needs=Permission.SEE, name="member-leave", methods=["POST"]),
    page(f"{MEMBERS}/{{id}}/role", ask_role, needs=Permission.ADMINISTER, name="member-role"),
    page(f"{MEMBERS}/{{id}}/role", change_role, needs=Permission.ADMINISTER, name="member-role-save", methods=["POST"]),
    page(f"{MEMBERS}/{{id}}/remove", ask_remove, needs=Permission.ADMINISTER, name="member-ask-remove"),
    page(f"{MEMBERS}/{{id}}/remove", remove, needs=Permission.ADMINISTER, name="member-remove", methods=["POST"]),
]
