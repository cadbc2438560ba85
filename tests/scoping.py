"""Which functions of the slices touch the database as a whole, and not as one account may see it: read off the sources.

`Database.account(id)` binds the account's id to every statement, and refuses one that does not mention it. Whatever else a slice does with
the database, or with the whole of an account's transaction, is told here by the name of its function.
"""

import ast
from collections.abc import Iterator

NAMES = frozenset({"database", "_database"})
HARMLESS = frozenset({"account", "place", "words", "is_shared"})
"""What a database is asked for that is no statement, and the way to one account's."""


def unscoped(text: str) -> list[str]:
    """The functions of this source that use the database past `account(…)`, by their qualified names, in their order.

    To hand it on where a repository is made is none of that: the other repository's functions are looked at as well.
    """
    return list(dict.fromkeys(where for where in _found(ast.parse(text), None, ()) if not where.endswith("__init__")))


def _found(node: ast.AST, above: ast.AST | None, names: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        names = (*names, node.name)
    if _is_unscoped(node, above):
        yield ".".join(names) or "(the module)"
    for child in ast.iter_child_nodes(node):
        yield from _found(child, node, names)


def _is_unscoped(node: ast.AST, above: ast.AST | None) -> bool:
    if isinstance(node, ast.Attribute) and node.attr == "whole":
        return True
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    if name not in NAMES or not isinstance(getattr(node, "ctx", None), ast.Load):
        return False
    return not (isinstance(above, ast.Attribute) and above.attr in HARMLESS)
