"""The commands that work on an open store. They run in the server when there is one, and here when there is none: in this same code."""

import os
import pwd
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from webapp.actor import Actor
from webapp.audit_commands import audit_cut, audit_verify
from webapp.backup import backup
from webapp.clock import in_words
from webapp.command import DONE, FAULT, REFUSED, TRY_LATER, Command, Outcome, Progress, Refusal, lines, said
from webapp.errors import AppError, ConfigurationError, Invalid, TooMany, Unavailable
from webapp.kms_key import is_kms_key, parse_root_key
from webapp.log import get_logger
from webapp.people_commands import create_account, create_admin, in_account, reset_password
from webapp.rotation import rewrap_root, rotate
from webapp.store import Store
from webapp.vault import Place

_logger = get_logger(__name__)


async def execute(store: Store, command: Command, uid: int, progress: Progress = lambda done, total: None) -> Outcome:
    """Do it, in the name of this user of the operating system, and tell how far it is. Whatever goes wrong is an outcome, too."""
    try:
        actor = await actor_of(store, uid)
        if command.name in LONG_COMMANDS:
            return await LONG_COMMANDS[command.name](store, command, actor, progress)
        return await COMMANDS[command.name](store, command, actor)
    except (Unavailable, TooMany) as error:
        return Outcome(TRY_LATER, stderr=said(str(error)))
    except ConfigurationError as error:
        return Outcome(os.EX_CONFIG, stderr=said(str(error)))
    except Invalid as error:
        return Outcome(REFUSED, stderr="".join(said(sentence) for sentence in error.errors.values()))
    except AppError as error:
        return Outcome(REFUSED, stderr=said(str(error)))
    except Exception:
        _logger.exception("a command failed", command=command.name)
        return Outcome(FAULT, stderr=said("This is a fault of the program and not of what you did. The log has it."))


async def actor_of(store: Store, uid: int) -> Actor:
    """The user of the operating system who runs a command, in the account if there is only one; see `in_account` for one that is named."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Actor(await store.accounts.only_account_id() or "", "command_line", str(uid), f"command line ({name})")


async def _bootstrap_token(store: Store, command: Command, actor: Actor) -> Outcome:
    actor = await in_account(store, command, actor)
    if not actor.account_id:
        raise Refusal("There is no account yet. Make its first admin: registry-credentials create-admin --email E --password-stdin")
    token, text = await store.bootstrap_tokens.create(
        actor,
        description=str(command.arguments["description"]),
        lifetime=int(command.arguments["lifetime"]),
        allow_reenrolment=bool(command.arguments["allow_reenrolment"]),
    )
    until = in_words(token.expires_at)
    if text is None:
        raise Refusal("The token was shown before.")
    return Outcome(DONE, text.reveal().decode("ascii") + "\n", f"It enrols agents until {until}. It is not shown again.\n")


async def _check(store: Store, command: Command, actor: Actor, progress: Progress) -> Outcome:
    report = await store.check(progress)
    return Outcome(DONE if report.ok else REFUSED, lines(*report.lines))


async def _rotate_key(store: Store, command: Command, actor: Actor, progress: Progress) -> Outcome:
    done = await rotate(store, actor, progress)
    told = ["Went on with a rotation that was not finished."] if done.resumed else []
    told.append(f"Key {done.key} seals now; {done.values:,} values were put under it.")
    told += [f"Key {key} is retired: nothing that is stored needs it. Backups may." for key in done.retired]
    if done.broken:
        told += [*done.broken, "Their key stays in use. Enter them again, and rotate again."]
    return Outcome(REFUSED if done.broken else DONE, lines(*told))


async def _rewrap_root(store: Store, command: Command, actor: Actor) -> Outcome:
    place = _place(str(command.arguments["to"]))
    root = await rewrap_root(store, actor, place)
    changed = f"The keyring is wrapped by the root key with fingerprint {root.fingerprint} now, which is"
    old = "Keep the old root key as long as you keep backups that were made under it.\n"
    if not isinstance(place, Path):
        then = (
            "WEBAPP_ROOT_KEY stays as it is." if place == store.settings.root_key else f"Set WEBAPP_ROOT_KEY={place} before the next start."
        )
        return Outcome(DONE, f"{changed} wrapped by {place}.\n{then} Without that key nothing here can be opened: keep it.\n{old}")
    file = "" if store.settings.root_key is None else " and WEBAPP_ROOT_KEY=file"
    then = f"Set WEBAPP_ROOT_KEY_FILE={place}{file} before the next start, and keep a copy of the file away from this machine."
    return Outcome(DONE, f"{changed} in {place}.\n{then}\n{old}")


def _place(text: str) -> Place:
    if is_kms_key(text):
        try:
            key = parse_root_key(text)
        except ValueError as error:
            raise Refusal(f"The new root key's place cannot be used: {error}") from None
        if key is not None:
            return key
    return _path(text, "The new root key's file")


async def _backup(store: Store, command: Command, actor: Actor, progress: Progress) -> Outcome:
    made = await backup(store, actor, _path(str(command.arguments["file"]), "The backup"), progress)
    return Outcome(DONE, lines(*made.lines))


def _path(text: str, what: str) -> Path:
    path = Path(text)
    if not path.is_absolute():  # the server's working directory is another one
        raise Refusal(f"{what} has to be named with its whole path.")
    return path


COMMANDS: Mapping[str, Callable[[Store, Command, Actor], Awaitable[Outcome]]] = {
    "create-account": create_account,
    "create-admin": create_admin,
    "reset-password": reset_password,
    "bootstrap-token": _bootstrap_token,
    "rewrap-root": _rewrap_root,
}
LONG_COMMANDS: Mapping[str, Callable[[Store, Command, Actor, Progress], Awaitable[Outcome]]] = {
    "audit-cut": audit_cut,
    "audit-verify": audit_verify,
    "backup": _backup,
    "check": _check,
    "rotate-key": _rotate_key,
}
"""Those that say how far they are."""
