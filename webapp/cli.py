"""`registry-credentials …`: the command line. What a command needs is imported when it runs, so that `--help` is quick."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from webapp import __version__
from webapp.clock import DAY, HOUR, MINUTE
from webapp.errors import AppError, ConfigurationError
from webapp.kms_key import is_kms_key
from webapp.names import printable
from webapp.setting_values import parse_database_url
from webapp.settings import VARIABLES, Settings, unknown_variables

if TYPE_CHECKING:
    from webapp.command import Outcome

CANNOT_START, INTERRUPTED = os.EX_CONFIG, 128 + 2

_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
_MOST_PASSWORD = 64 * 1024  # bytes

_REWRAP_TO = "the new root key's file, made when it is not there; or aws-kms:ARN or transit:URL/MOUNT/KEY, which wraps a new one"

_EPILOG = """\
exit status:
  0   done
  1   refused; the reason is on standard error
  2   wrong usage
  70  a fault of the program; the log has it
  75  not now: try again later
  78  a setting is wrong; the line on standard error names it

settings (environment variables; in brackets the default):
""" + "\n".join(f"  {name:28} {meaning}" for name, meaning in VARIABLES.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of these arguments (the process's own by default); returns the exit status. Wrong usage ends in SystemExit(2)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["agent"]:
        from webapp.reference_agent import main as agent  # noqa: PLC0415  for a quick --help

        return agent(arguments[1:])
    options = _parser().parse_args(arguments)
    run: Callable[[Settings, argparse.Namespace], int] = options.run
    try:
        settings = Settings.from_environ(os.environ)
        for line in unknown_variables(os.environ):
            _say(line)
        return run(settings, options)
    except ConfigurationError as error:
        _say(str(error))
        return CANNOT_START
    except AppError as error:
        _say(str(error))
        return os.EX_TEMPFAIL
    except KeyboardInterrupt:
        return INTERRUPTED


def parse_lifetime(text: str) -> int:
    """`10m`, `8h` or `30d` in milliseconds. Raises ArgumentTypeError with a sentence, also beyond 1 minute to 365 days."""
    if found := re.fullmatch(r"([0-9]{1,6})([mhd])", text, re.ASCII):
        lifetime = int(found[1]) * _UNITS[found[2]]
        if MINUTE <= lifetime <= 365 * DAY:
            return lifetime
    raise argparse.ArgumentTypeError("a lifetime is a number with m, h or d behind it, from 1m to 365d, such as 10m or 30d")


def parse_days(text: str) -> int:
    """`400d` as a number of days. Raises ArgumentTypeError with a sentence."""
    if (found := re.fullmatch(r"([0-9]{1,5})d", text, re.ASCII)) and int(found[1]) >= 1:
        return int(found[1])
    raise argparse.ArgumentTypeError("write a number of days with d behind it, from 1d on, such as 400d")


def _database_url(text: str) -> str:
    try:
        return parse_database_url(text)
    except ValueError as error:  # argparse would quote the text, which may hold a password
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="registry-credentials",
        description="Keeps the keys to private container registries, and hands each agent the one that its image needs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[Settings, argparse.Namespace], int], summary: str, more: str) -> argparse.ArgumentParser:
        described = f"{summary[0].upper()}{summary[1:]}. {more}"
        added = commands.add_parser(name, help=summary, description=described, allow_abbrev=False)
        added.set_defaults(run=run)
        return added

    command("serve", _serve, "serve the pages and the agents until Ctrl-C", "Prints the link to set up the account while there is none.")
    command(
        "init",
        _init,
        "begin an installation in a PostgreSQL database",
        "Makes its tables and the root key, once. With SQLite, serve does that by itself.",
    )
    admin = command("create-admin", _create_admin, "make an admin", "Makes the account, too, if there is none.")
    _add_sign_in(admin)
    _add_account(admin)
    account = command("create-account", _create_account, "make a further account, with its first admin", "Accounts share nothing.")
    account.add_argument("--name", required=True, help="the organization's or the team's; no other account here has it")
    _add_sign_in(account)
    reset = command(
        "reset-password", _reset_password, "give a member another password", "Ends all their sessions. Passkeys and API tokens stay."
    )
    _add_sign_in(reset)
    token = command("bootstrap-token", _bootstrap_token, "make a token that enrols agents", "Prints it, this once, and nothing else.")
    token.add_argument("--lifetime", default="10m", type=parse_lifetime, help="1m to 365d: minutes (m), hours (h) or days (d); %(default)s")
    token.add_argument("--description", default="", help="what it is for, at most 500 characters")
    _add_account(token)
    token.add_argument("--allow-reenrolment", action="store_true", help="machines installed again may enrol under their old names")
    command("check", _without_arguments, "open every sealed value, showing none", "The exit status is 1 when one does not open.")
    command(
        "rotate-key",
        _without_arguments,
        "make a new key and put all that is sealed under it",
        "Goes on while the server runs, and after a kill. The old key is retired when nothing needs it any more.",
    )
    rewrap = command(
        "rewrap-root", _rewrap_root, "wrap the keyring under another root key", "Nothing is sealed anew. Says what to set then."
    )
    rewrap.add_argument("--to", required=True, metavar="WHERE", help=_REWRAP_TO)
    backup = command(
        "backup",
        _backup,
        "write a backup, while the server runs",
        "It holds all but the root key. Keep a copy of that elsewhere: without it nothing in a backup can be opened.",
    )
    backup.add_argument("file", metavar="FILE", help="the backup; made, with mode 0600, and never written over")
    restore = command(
        "restore",
        _restore,
        "make a backup the store; the servers have to be stopped",
        "Ends all sessions, tokens and invitations, and goes on with a new chain of the audit log.",
    )
    restore.add_argument("file", metavar="FILE", nargs="?", help="the backup; none with PostgreSQL, whose rows pg_restore has brought back")
    restore.add_argument(
        "--agents",
        choices=("keep", "end"),
        help="keep: all agents of the backup stay enrolled, also those that were revoked after it was made; end: all are revoked",
    )
    restore.add_argument("--replace", action="store_true", help="put a store that is there aside, under another name")
    copy = command(
        "copy",
        _copy,
        "move the store from SQLite to PostgreSQL; the server has to be stopped",
        "All of it is copied, sealed as it is, or nothing. The SQLite file stays as it is. The root key is not needed.",
    )
    copy.add_argument("--from", dest="source", type=_database_url, metavar="URL", help="sqlite:///PATH (the store's own)")
    target = copy.add_mutually_exclusive_group()
    target.add_argument("--to", type=_database_url, metavar="URL", help="postgresql://… (WEBAPP_DATABASE_URL); others may see it in ps")
    target.add_argument("--to-file", metavar="FILE", help="a file with that URL in it, so that its password is in no list of processes")
    audit = commands.add_parser("audit", help="verify the audit log", description="The audit log.", allow_abbrev=False)
    subcommands = audit.add_subparsers(dest="audit_command", required=True, metavar="COMMAND")
    verify = subcommands.add_parser(
        "verify",
        help="is every row as it was written, and none missing",
        description="Verify every row of the audit log. The exit status is 1 when one is not as it was written, or missing.",
        allow_abbrev=False,
    )
    verify.set_defaults(run=_audit_verify)
    verify.add_argument("--heads", metavar="FILE", help="signed heads that were kept elsewhere (the file of WEBAPP_AUDIT_HEADS)")
    verify.add_argument("--since-head", action="store_true", help="only the rows from the last head on")
    cut = subcommands.add_parser(
        "cut",
        help="remove the oldest rows, with a signed note",
        description="Remove rows of more than so many days ago, when the log is whole; what remains is verified as before.",
        allow_abbrev=False,
    )
    cut.set_defaults(run=_audit_cut)
    cut.add_argument("--older-than", required=True, type=parse_days, metavar="DAYS", help="a number of days, such as 400d")
    commands.add_parser("agent", help="be the agent on a machine: enroll, pull", add_help=False)
    return parser


def _add_sign_in(parser: argparse.ArgumentParser) -> None:
    """What somebody signs in with: the address, and the password, which no list of processes shows."""
    parser.add_argument("--email", required=True, help="the email address to sign in with")
    parser.add_argument(
        "--password-stdin",
        required=True,
        action="store_true",
        help="read the password, of at least 15 characters, from standard input; one line end is taken off",
    )


def _add_account(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", default="", metavar="NAME_OR_ID", help="which account; needed only when there are several")


def _serve(settings: Settings, options: argparse.Namespace) -> int:
    from webapp.serve import serve  # noqa: PLC0415  for a quick --help

    return serve(settings)


def _init(settings: Settings, options: argparse.Namespace) -> int:
    from webapp.first_start import init_command_line  # noqa: PLC0415  for a quick --help

    return _printed(init_command_line(settings))


def _create_admin(settings: Settings, options: argparse.Namespace) -> int:
    return _run_with_password(settings, "create-admin", {"email": options.email, "account": options.account})


def _create_account(settings: Settings, options: argparse.Namespace) -> int:
    return _run_with_password(settings, "create-account", {"name": options.name, "email": options.email})


def _reset_password(settings: Settings, options: argparse.Namespace) -> int:
    return _run_with_password(settings, "reset-password", {"email": options.email})


def _run_with_password(settings: Settings, name: str, arguments: dict[str, str | int | bool]) -> int:
    password = sys.stdin.buffer.read(_MOST_PASSWORD + 1)
    if len(password) > _MOST_PASSWORD:
        _say(f"The password is longer than {_MOST_PASSWORD // 1024} KiB.")
        return 1
    return _run(settings, name, arguments, password)


def _bootstrap_token(settings: Settings, options: argparse.Namespace) -> int:
    chosen = {name: getattr(options, name) for name in ("lifetime", "description", "allow_reenrolment", "account")}
    return _run(settings, "bootstrap-token", chosen)


def _without_arguments(settings: Settings, options: argparse.Namespace) -> int:
    return _run(settings, options.command, {})


def _audit_verify(settings: Settings, options: argparse.Namespace) -> int:
    heads = os.path.abspath(options.heads) if options.heads else ""  # noqa: PTH100  a link stays a link
    return _run(settings, "audit-verify", {"heads": heads, "since_head": options.since_head})


def _audit_cut(settings: Settings, options: argparse.Namespace) -> int:
    return _run(settings, "audit-cut", {"older_than": options.older_than})


def _backup(settings: Settings, options: argparse.Namespace) -> int:
    return _run(settings, "backup", {"file": os.path.abspath(options.file)})  # noqa: PTH100  a link stays a link


def _restore(settings: Settings, options: argparse.Namespace) -> int:
    from webapp.restore import restore_command_line  # noqa: PLC0415  for a quick --help

    if options.agents is None:
        _say("Say what becomes of the agents.")
        _say("--agents keep: all agents of the backup stay enrolled. Those that were revoked after it was made would live again.")
        _say("--agents end: all agents are revoked, and have to enrol again.")
        return 2
    return _printed(restore_command_line(settings, options.file, options.agents, replace_store=options.replace))


def _copy(settings: Settings, options: argparse.Namespace) -> int:
    from webapp.copy_command import copy_command_line  # noqa: PLC0415  for a quick --help

    return _printed(copy_command_line(settings, options.source, options.to, options.to_file))


def _rewrap_root(settings: Settings, options: argparse.Namespace) -> int:
    to = options.to if is_kms_key(options.to) else os.path.abspath(options.to)  # noqa: PTH100  a link stays a link
    return _run(settings, "rewrap-root", {"to": to})


def _run(settings: Settings, name: str, arguments: dict[str, str | int | bool], given: bytes | None = None) -> int:
    """Run a command in the server, or here, and print its outcome."""
    from webapp.control import run_command_line  # noqa: PLC0415  for a quick --help

    return _printed(run_command_line(settings, name, arguments, given))


def _printed(outcome: "Outcome") -> int:
    sys.stderr.write(outcome.stderr)
    sys.stdout.write(outcome.stdout)
    sys.stdout.flush()
    return outcome.exit


def _say(sentence: str) -> None:
    sys.stderr.write(f"registry-credentials: {printable(' '.join(sentence.split()))}\n")
