"""The application: the route table, the middleware and the lifespan. The one place that puts the parts together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount
from starlette.types import ASGIApp

from webapp.accounts.api import ROUTES as ME_API
from webapp.accounts.api_token_routes import ROUTES as API_TOKENS
from webapp.accounts.member_routes import ROUTES as MEMBERS
from webapp.accounts.oidc_routes import ROUTES as OIDC
from webapp.accounts.passkey_routes import ROUTES as PASSKEYS
from webapp.accounts.routes import ROUTES as ACCOUNTS
from webapp.accounts.session_routes import ROUTES as SESSIONS
from webapp.accounts.sign_in_routes import ROUTES as SIGN_IN
from webapp.agents.api import ROUTES as AGENTS_API
from webapp.agents.bootstrap_routes import ROUTES as BOOTSTRAP_TOKENS
from webapp.agents.routes import ROUTES as AGENTS
from webapp.audit.exporting import Heads, exported
from webapp.audit.routes import ROUTES as AUDIT
from webapp.credentials.api import ROUTES as CREDENTIALS_API
from webapp.credentials.connection import ConnectionTests
from webapp.credentials.delete_routes import ROUTES as CREDENTIAL_DELETION
from webapp.credentials.routes import ROUTES as CREDENTIALS
from webapp.encryption.routes import ROUTES as ENCRYPTION
from webapp.errors import AppError
from webapp.images.api import ROUTES as IMAGES_API
from webapp.images.routes import ROUTES as IMAGES
from webapp.images.user_data import Store as ValueStore
from webapp.periodic import repeated
from webapp.provisioning.activity import written_soon
from webapp.provisioning.check import CheckParts, Checks
from webapp.provisioning.check_routes import ROUTES as CHECKS
from webapp.provisioning.provision import Parts
from webapp.provisioning.routes import PROVISION, hand_over_directly
from webapp.provisioning.routes import ROUTES as PROVISIONING
from webapp.registry.dialer import Dialer
from webapp.secrets.api import ROUTES as SECRETS_API
from webapp.secrets.import_routes import ROUTES as IMPORTS
from webapp.secrets.repository import NamedValueRepository
from webapp.secrets.routes import ROUTES as SECRETS
from webapp.settings import Settings
from webapp.store import Store, open_store
from webapp.web.answers import Answers
from webapp.web.assets import static_files
from webapp.web.denials import Denials
from webapp.web.direct import directly
from webapp.web.error_pages import on_app_error, on_http_exception
from webapp.web.health import ROUTES as HEALTH

ROUTES: list[BaseRoute] = [
    *PROVISIONING,  # first: it is asked for more often than all the others together, and routes are looked through in order
    *HEALTH,
    *SIGN_IN,
    *PASSKEYS,
    *OIDC,
    *ACCOUNTS,
    *MEMBERS,
    *SESSIONS,
    *API_TOKENS,
    *CREDENTIALS,
    *CREDENTIAL_DELETION,
    *IMPORTS,
    *SECRETS,
    *IMAGES,
    *CHECKS,
    *BOOTSTRAP_TOKENS,
    *AGENTS,
    *AUDIT,
    *ENCRYPTION,
    *AGENTS_API,
    *ME_API,
    *CREDENTIALS_API,
    *IMAGES_API,
    *SECRETS_API,
    Mount("/static", static_files(), name="static"),
]

LARGER: dict[str, int] = {getattr(route, "path", ""): most for route in ROUTES if (most := getattr(route, "most_body", None)) is not None}
"""The addresses that take a larger body than the others: in bytes."""

BARE: dict[str, ASGIApp] = {getattr(route, "path", ""): app for route in ROUTES if (app := getattr(route, "bare", None)) is not None}
"""The addresses whose GET is answered past the router."""


_LOOK_FOR_EXPIRED = 10.0
"""Seconds between two looks for values whose time is over."""

_COUNT_WRAPS = 60.0
"""Seconds between two times that what the keys have wrapped is written down: a kill forgets no more."""


def create_app(settings: Settings, *, store: Store | None = None) -> Starlette:
    """The application. It opens the store in its lifespan, unless it is handed one that is open."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, object]]:
        async with AsyncExitStack() as stack:
            opened = store if store is not None else await stack.enter_async_context(open_store(settings))
            sink = settings.audit_heads, settings.audit_heads_token
            app.state.heads = Heads(opened.database, opened.vault, opened.chain, opened.clock, *sink)
            await stack.enter_async_context(exported(app.state.heads))  # the first one: it ends when all the others have written
            await stack.enter_async_context(repeated(opened.credentials.versions.destroy_expired, _LOOK_FOR_EXPIRED))
            stack.push_async_callback(opened.keys.note_wraps)
            await stack.enter_async_context(repeated(opened.keys.note_wraps, _COUNT_WRAPS))
            denials = Denials(opened.chain, opened.clock)
            stack.push_async_callback(denials.close)
            app.state.denials = denials
            for field in fields(Store):
                setattr(app.state, field.name, getattr(opened, field.name))
            values: dict[ValueStore, NamedValueRepository] = {"secrets": opened.secrets, "variables": opened.variables}
            activity = await stack.enter_async_context(written_soon(opened.database))
            parts = app.state.parts = Parts(
                opened.provisions, values, activity, opened.chain, opened.vault, opened.clock, opened.sign_ins.tokens
            )
            checking = CheckParts(parts, opened.database, opened.images, opened.credentials, opened.sign_ins, app.state.dialer)
            app.state.checks = Checks(checking)
            app.state.connection_tests = ConnectionTests(opened.credentials, opened.sign_ins, app.state.dialer)
            stack.push_async_callback(app.state.checks.close)
            yield {"direct": {PROVISION.encode(): directly(lambda asked: hand_over_directly(asked, parts), settings)}}

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Answers, settings=settings, most_body=LARGER, bare=BARE)],
        exception_handlers={AppError: on_app_error, HTTPException: on_http_exception},
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.dialer = Dialer.of(settings)
    return app
