"""Signing in with an OpenID Connect issuer, and showing again through it who somebody is.

The callback's address holds a code, so every answer to it leads on at once.
"""

import hmac
from dataclasses import replace
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from webapp.accounts.ceremony import LIFETIME_SECONDS, Ceremony, Kind, begin_ceremony, ceremony_of, ceremony_text
from webapp.accounts.identities import Identities
from webapp.accounts.identity import NotLinked, Person
from webapp.accounts.member import Member
from webapp.accounts.oidc import CALLBACK, NotProven, Provider
from webapp.accounts.oidc_secrets import secrets_of
from webapp.accounts.sign_in_routes import browser_of, signing_in, with_cookies
from webapp.actor import Actor
from webapp.database import AccountTransaction
from webapp.errors import Conflict, NotFound, Unavailable
from webapp.web.forms import read_form
from webapp.web.permissions import Permission
from webapp.web.principal import actor, nobody, principal, principal_or_none
from webapp.web.rendering import done, render
from webapp.web.routing import page
from webapp.web.sessions import HOME, clear_cookie, cookie_name, local_path, set_cookie
from webapp.web.stepup import confirm, step_up

_COOKIE = "ceremony-oidc"
_REFUSED = "refused-oidc"
_SIGN_IN = "/settings/sign-in"
_LONGEST_TARGET = 300  # bytes: the cookie has to hold it twice

_ACTIONS: dict[Kind, str] = {"oidc-sign-in": "member.sign_in", "oidc-confirm": "member.confirm", "oidc-link": "member.link"}


class _Refusal(Exception):
    """Why a callback is refused, as its page says it."""

    def __init__(self, sentence: str, status: int = 403) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


def _identities(request: Request) -> Identities:
    found: Identities = request.app.state.identities
    return found


def _provider(request: Request) -> Provider:
    found: Provider | None = request.app.state.provider
    if found is None:
        raise NotFound("There is no such address.")
    return found


async def sign_in(request: Request) -> Response:
    """Send whoever wants to sign in to the issuer; whoever is signed in already goes on."""
    target = local_path(request.query_params.get("next", "")) or HOME
    provider = _provider(request)
    if principal_or_none(request) is not None:
        return done(request, target)
    return await _begin(request, provider, "oidc-sign-in", target)


async def confirm_again(request: Request) -> Response:
    """Send a member to the issuer to show again who they are."""
    provider, target = _provider(request), local_path(request.query_params.get("next", "")) or HOME
    if all(link.issuer != provider.oidc.issuer for link in await _identities(request).of_member(actor(request))):
        raise Conflict(f"You are not linked to {provider.name}, so it cannot confirm that it is you. Link it in Settings.", "not-linked")
    return await _begin(request, provider, "oidc-confirm", target)


async def link(request: Request) -> Response:
    """Send a member to the issuer to be linked to who they are there.

    Nobody is asked again before: only a person with the member's own address is linked, whom a sign-in would link as well.
    """
    return await _begin(request, _provider(request), "oidc-link", _SIGN_IN)


async def callback(request: Request) -> Response:
    """What the issuer sends the browser back to."""
    provider, query = _provider(request), request.query_params
    begun = _begun(request, query.get("state", ""))
    if begun is None:
        sentence = "This sign-in was not begun in this browser, or it was begun more than 10 minutes ago, or another one was begun since."
        return _refused(request, _Refusal(f"{sentence} Begin again."), None)
    try:
        response = await _finish(request, provider, begun)
    except _Refusal as error:
        response = _refused(request, error, begun)
    except NotProven as error:
        response = _refused(request, _Refusal(error.sentence), begun)
    except Unavailable as error:
        response = _refused(request, _Refusal(str(error), 503), begun)
    clear_cookie(response, request.app.state.settings, _COOKIE)
    return response


async def show_refused(request: Request) -> Response:
    """Why the last sign-in with the issuer was refused, from the browser's own cookie."""
    provider = _provider(request)
    found = ceremony_of(request.app.state.vault, _cookie(request, _REFUSED), "oidc-refused", request.app.state.clock())
    if found is None:
        return done(request, "/login")
    context = {"sentence": found.facts["sentence"], "again": found.facts["again"], "back": found.facts["back"], "provider": provider.name}
    return render(request, "accounts/oidc_refused.html", context, status=int(found.facts["status"]))


async def ask_unlink(request: Request) -> Response:
    """The confirmation before a link is removed."""
    return await _unlink_page(request, {})


async def unlink(request: Request) -> Response:
    """Remove a link of the member's own."""
    form = await read_form(request)
    await _identities(request).get(actor(request), request.path_params["id"])
    if errors := await confirm(request, form):
        return await _unlink_page(request, errors, status=422)
    provider: Provider | None = request.app.state.provider
    try:
        await _identities(request).unlink(actor(request), request.path_params["id"], provider.oidc.issuer if provider else "")
    except Conflict as error:
        return await _unlink_page(request, {"": str(error)}, status=409)
    return done(request, _SIGN_IN, "identity-unlinked")


async def identity_context(request: Request) -> dict[str, object]:
    """What `accounts/_identity.html` shows of the member: `links`, the issuer's name as `provider` (or ""), and whether `can_link`."""
    provider: Provider | None = request.app.state.provider
    links = await _identities(request).of_member(actor(request))
    issuer = provider.oidc.issuer if provider else ""
    return {
        "links": links,
        "provider": provider.name if provider else "",
        "issuer": issuer,
        "can_link": provider is not None and all(each.issuer != issuer for each in links),
    }


async def _begin(request: Request, provider: Provider, kind: Kind, target: str) -> Response:
    member = None if kind == "oidc-sign-in" else principal(request)
    accessor = "" if member is None else member.session_accessor
    vault, now = request.app.state.vault, request.app.state.clock()
    ceremony = begin_ceremony(kind, now, accessor=accessor, facts={"next": target})
    try:
        text = ceremony_text(vault, ceremony)
    except ValueError:  # an address that is too long for a cookie
        ceremony = begin_ceremony(kind, now, accessor=accessor, facts={"next": HOME})
        text = ceremony_text(vault, ceremony)
    secrets = secrets_of(vault, ceremony.challenge)
    url = await provider.authorization_url(ceremony.challenge, secrets, again=kind == "oidc-confirm")
    response = RedirectResponse(url, status_code=303)
    set_cookie(response, request.app.state.settings, _COOKIE, text.reveal().decode("ascii"), max_age=LIFETIME_SECONDS)
    return response


def _begun(request: Request, unverified_state: str) -> Ceremony | None:
    """What this browser has begun with this state, in the session that it has now."""
    member = principal_or_none(request)
    accessors: dict[Kind, str] = {"oidc-sign-in": ""}
    if member is not None:
        accessors |= {"oidc-confirm": member.session_accessor, "oidc-link": member.session_accessor}
    for kind, accessor in accessors.items():
        vault, text = request.app.state.vault, _cookie(request, _COOKIE)
        found = ceremony_of(vault, text, kind, request.app.state.clock(), accessor=accessor)
        if found is not None:
            same = hmac.compare_digest(found.challenge.encode(), unverified_state.encode("utf-8", "surrogatepass"))
            return found if same else None
    return None


async def _finish(request: Request, provider: Provider, begun: Ceremony) -> Response:
    query, again = request.query_params, begun.kind == "oidc-confirm"
    await provider.check_sender(query.get("iss"))
    if "error" in query:
        raise _Refusal(provider.refusal(query["error"]))
    if not query.get("code"):
        raise _Refusal(f"{provider.name} sent no answer. Begin again.")
    person = await provider.person(query["code"], secrets_of(request.app.state.vault, begun.challenge), again=again)
    who: Actor | None = None if begun.kind == "oidc-sign-in" else actor(request)
    member = None if who is None else Member(who.id, who.account_id, who.label, "viewer")
    try:
        if who is None:
            member = await _identities(request).who(person, provider.name)
            return await _signed_in(request, provider, begun, member, person)
        return await _confirmed_or_linked(request, provider, begun, who, person)
    except NotLinked as error:
        if member is not None:
            asking = nobody(request) if who is None else who
            await _identities(request).record_refusal(asking, member, _ACTIONS[begun.kind], f"by {provider.name}: {error.why}")
        raise _Refusal(error.sentence) from None


async def _signed_in(request: Request, provider: Provider, begun: Ceremony, member: Member, person: Person) -> Response:
    async def use(transaction: AccountTransaction) -> None:
        asking = replace(nobody(request), account_id=member.account_id)
        await _identities(request).use(transaction, asking, member, person, provider.name, state=begun.challenge)

    # The issuer may have known the browser since this morning: that says who it is, and not that the member is there just now.
    signed_in = await signing_in(request).begin(
        nobody(request), member, browser_of(request), "oidc", f"by {provider.name}", within=use, shown_at=person.shown_at
    )
    return with_cookies(request, done(request, begun.facts["next"]), signed_in)


async def _confirmed_or_linked(request: Request, provider: Provider, begun: Ceremony, who: Actor, person: Person) -> Response:
    if begun.kind == "oidc-link":
        await _identities(request).link(who, person, provider.name, state=begun.challenge)
        return done(request, _SIGN_IN, "identity-linked")

    async def see(transaction: AccountTransaction) -> None:
        await _identities(request).confirm(transaction, who, person, provider.name, state=begun.challenge)

    await signing_in(request).confirmed(who, f"by {provider.name}", within=see)
    return done(request, begun.facts["next"], "confirmed")


def _refused(request: Request, why: _Refusal, begun: Ceremony | None) -> Response:
    """Lead on to the page that says why. The sentence goes there in a cookie of its own, which is signed."""
    target = begun.facts["next"] if begun is not None else HOME
    target = target if len(target.encode()) <= _LONGEST_TARGET else HOME
    signed_in = principal_or_none(request) is not None
    paths: dict[str, str] = {"oidc-confirm": "/settings/sign-in/confirm/oidc", "oidc-link": "/settings/sign-in/link/oidc"}
    again = paths.get(begun.kind, "/login/oidc") if begun is not None else "/login/oidc"
    facts = {
        "sentence": why.sentence,
        "status": str(why.status),
        "again": f"{again}?{urlencode({'next': target})}",
        "back": target if signed_in else "/login",
    }
    vault, now = request.app.state.vault, request.app.state.clock()
    text = ceremony_text(vault, begin_ceremony("oidc-refused", now, facts=facts))
    response = RedirectResponse("/login/oidc/refused", status_code=303)
    set_cookie(response, request.app.state.settings, _REFUSED, text.reveal().decode("ascii"), max_age=LIFETIME_SECONDS)
    return response


def _cookie(request: Request, name: str) -> str:
    return request.cookies.get(cookie_name(request.app.state.settings, name), "")


async def _unlink_page(request: Request, errors: dict[str, str], status: int = 200) -> Response:
    found = await _identities(request).get(actor(request), request.path_params["id"])
    provider: Provider | None = request.app.state.provider
    is_current = provider is not None and provider.oidc.issuer == found.issuer
    name = provider.name if provider is not None and is_current else found.issuer
    context = {"link": found, "provider": name, "errors": errors, "step_up": step_up(request), "email": principal(request).email}
    return render(request, "accounts/unlink.html", context, fragment="accounts/_unlink.html", status=status)


ROUTES: list[BaseRoute] = [
    page("/login/oidc", sign_in, needs=Permission.PUBLIC, name="oidc-sign-in"),
    page(CALLBACK, callback, needs=Permission.PUBLIC, name="oidc-callback"),
    page("/login/oidc/refused", show_refused, needs=Permission.PUBLIC, name="oidc-refused"),
    page("/settings/sign-in/confirm/oidc", confirm_again, needs=Permission.SEE, name="oidc-confirm"),
    page("/settings/sign-in/link/oidc", link, needs=Permission.SEE, name="oidc-link"),
    page("/settings/sign-in/identities/{id}/unlink", ask_unlink, needs=Permission.SEE, name="oidc-ask-unlink"),
    page("/settings/sign-in/identities/{id}/unlink", unlink, needs=Permission.SEE, name="oidc-unlink", methods=["POST"]),
]
