"""Mutants of a module: its source with one thing changed, as cosmic-ray's operators change it, and with a statement taken out.

What cosmic-ray does not do is done here: take away a statement such as a call of a check, return nothing, decide an `if` beforehand, drop
one side of an `and` or an `or`, ask for another permission, and change a text.
"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast  # type: ignore[import-untyped]  # it ships no types
from cosmic_ray.mutating import mutate_code  # type: ignore[import-untyped]
from cosmic_ray.plugins import get_operator, operator_names  # type: ignore[import-untyped]

_NOT_USED = (
    *("Variable", "RemoveDecorator", "ExceptionReplacer"),
    *("Eq_Is", "Lt_Is", "LtE_Is", "Gt_Is", "GtE_Is", "Is_Lt", "Is_Gt", "IsNot_Lt", "IsNot_Gt"),
    *("Is_Eq", "IsNot_NotEq"),
    *("Mul_Pow", "Mul_LShift"),
)
"""Operators that want arguments, that change what no permission hangs on, that make of a comparison what Python advises against, that
change nothing (None and the members of an enumeration are equal to themselves only), or that make of a time a number without an end."""


@dataclass(frozen=True)
class Mutant:
    """A module with one change: `was` and `now` are the changed lines without what stands around them."""

    line: int
    was: str
    now: str
    source: str


def mutants_of(source: str, functions: Collection[str] = ()) -> list[Mutant]:
    """All mutants of the module, or of these functions and constants in it (`Sessions.find` is a method). In the order of the lines.

    Raises ValueError for one that it has not.
    """
    spans, signatures = _spans(source, functions), _signatures(source)
    found = {}
    for mutated in (*_by_cosmic_ray(source), *_by_hand(source)):
        mutant = _compared(source, mutated)
        if mutant is not None and mutant.line not in signatures and any(first <= mutant.line <= last for first, last in spans):
            found[mutated] = mutant
    return sorted(found.values(), key=lambda mutant: (mutant.line, mutant.now))


def _spans(source: str, functions: Collection[str]) -> list[tuple[int, int]]:
    if not functions:
        return [(1, source.count("\n") + 1)]
    spans = {}
    for name, node in _named(ast.parse(source).body):
        spans[name] = (node.lineno, node.end_lineno or node.lineno)
    missing = set(functions) - set(spans)
    if missing:
        raise ValueError(f"there is no {', '.join(sorted(missing))} in the module")
    return [spans[name] for name in functions]


def _signatures(source: str) -> set[int]:
    """The lines of the functions' heads: a type that is changed is a mistake, and no mutant."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {line for node in functions for line in range(node.lineno, node.body[0].lineno)}


def _named(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _named(node.body, f"{prefix}{node.name}.")
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name):
            yield prefix + target.id, node


def _by_cosmic_ray(source: str) -> Iterator[str]:
    tree = get_ast(source)
    for name in operator_names():
        if any(word in name for word in _NOT_USED):
            continue
        operator = get_operator(name)()
        for occurrence, _ in enumerate(position for node in ast_nodes(tree) for position in operator.mutation_positions(node)):
            mutated: str | None = mutate_code(source, operator, occurrence)
            if mutated is not None:
                yield mutated


def _by_hand(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    said = {id(node) for words in ast.walk(tree) for node in _words(words)}
    for node in ast.walk(tree):
        for found, instead in _instead(node):
            if id(found) not in said:
                yield _replaced(source, found, instead)


def _words(node: ast.AST) -> Iterator[ast.AST]:
    """What people read, and no permission hangs on: docstrings, and what is raised or written down."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node
    name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
    if isinstance(node, ast.Expr | ast.Raise | ast.JoinedStr) or name == "Event":
        yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.Constant))


def _instead(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What in this node is to be replaced, and by what."""
    if isinstance(node, ast.Expr | ast.Raise):
        yield node, "pass"
    elif isinstance(node, ast.Return) and node.value is not None:
        if not isinstance(node.value, ast.Constant) or node.value.value is not None:
            yield node.value, "None"
        if not isinstance(node.value, ast.Constant):
            yield node.value, "True"
    elif isinstance(node, ast.If | ast.IfExp):
        yield node.test, "True"
        yield node.test, "False"
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield value, "True" if isinstance(node.op, ast.And) else "False"
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Permission":
        yield from ((node, f"Permission.{other}") for other in ("PUBLIC", "ADMINISTER") if other != node.attr)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node, repr(node.value + "x")


def _replaced(source: str, node: ast.expr | ast.stmt, instead: str) -> str:
    lines = source.splitlines(keepends=True)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head = lines[first].encode()[: node.col_offset].decode()
    tail = lines[last].encode()[node.end_col_offset :].decode()
    text = f"{head}({instead}){tail}" if isinstance(node, ast.expr) and instead != "pass" else f"{head}{instead}{tail}"
    return "".join([*lines[:first], text, *lines[last + 1 :]])


def _compared(source: str, mutated: str) -> Mutant | None:
    old, new = source.splitlines(), mutated.splitlines()
    first = next((number for number, (was, now) in enumerate(zip(old, new, strict=False)) if was != now), None)
    if first is None:
        return None
    same = 0
    while same < min(len(old), len(new)) - first and old[-1 - same] == new[-1 - same]:
        same += 1
    was, now = (" ".join(" ".join(lines[first : len(lines) - same]).split()) for lines in (old, new))
    return Mutant(first + 1, was, now, mutated)
