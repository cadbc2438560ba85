"""User data: an image's cloud-init template, in which `{{ secrets.NAME }}` and `{{ variables.NAME }}` stand for values.

The template is parsed with Jinja and never compiled or run by it: what is kept of Jinja's tree is an allow-list, and every
other node is refused with its line. So the names are known when the template is saved, nothing of Python can be reached, and
there is no loop, no call and no arithmetic: the work is bounded by the size of the text. (A single `'x' * 10**8` blocks a
worker for a second, and no timer can stop it.)

The filters are the ones that Ansible has under the same names: `b64encode`, `indent`, `tojson`, `quote`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from jinja2 import Environment, TemplateSyntaxError, nodes

from webapp.images.user_data_filters import FILTERS, Arguments, checked_arguments

Store = Literal["secrets", "variables"]

MOST_TEMPLATE = 64 * 1024
"""Bytes of a template."""

MOST_OUTPUT = 256 * 1024
"""Bytes of what it renders to: cloud-init's data sources take less (EC2 16 KiB, OpenStack 64 KiB), files and NoCloud take more."""

MOST_NAMES = 64
"""Different names in one template: the audit row of a hand-over lists them all."""

MOST_FILTERS = 4
MOST_NAME = 63
MOST_EXPRESSION = 1000
_LONG = re.compile(rf"\{{[{{%][^}}]{{{MOST_EXPRESSION}}}")
MOST_DEPTH = 16

# Never compiled, so that autoescape and the like have no say; a last line's end is kept, as every other.
_JINJA = Environment(keep_trailing_newline=True, autoescape=False)  # noqa: S701  no HTML, and it renders nothing

_ALLOWED = (
    "User data knows text, {{ secrets.NAME }}, {{ variables.NAME }}, the filters b64encode, indent, tojson and quote, and"
    " {% if variables.NAME == 'text' %}."
)
_RAW = "Put cloud-init's own {{ … }} and {% … %} between {% raw %} and {% endraw %}."


class Masked(str):
    """What stands for a value that is not to be seen, in a preview."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that a template refers to, and the line of its first use."""

    store: Store
    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.store}.{self.name}"


@dataclass(frozen=True, slots=True)
class _Value:
    reference: Reference
    filters: tuple[tuple[str, Arguments], ...]


@dataclass(frozen=True, slots=True)
class _Condition:
    reference: Reference
    equal: bool
    constant: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """The pieces of the first condition that holds; the last branch may have none."""

    branches: tuple[tuple[_Condition | None, tuple["_Piece", ...]], ...]


_Piece = str | _Value | _Choice


@dataclass(frozen=True, slots=True)
class UserData:
    """A template that was parsed: what it refers to, and how to render it."""

    references: tuple[Reference, ...]
    _pieces: tuple[_Piece, ...]

    def render(self, value_of: Callable[[Store, str], str]) -> str:
        """The text with each reference's value in its place. Raises ValueError when it is more than 256 KiB.

        A value that is `Masked` stands in its place as it is, whatever filters follow it.
        """
        rendered: list[str] = []
        size = 0
        for part in _parts(self._pieces, value_of):
            size += len(part.encode("utf-8"))
            if size > MOST_OUTPUT:
                raise ValueError(f"It renders to more than {MOST_OUTPUT // 1024} KiB with the values that its names have now.")
            rendered.append(part)
        return "".join(rendered)


def parse_user_data(text: str) -> UserData:
    """The template in this text. Raises ValueError with a sentence that begins with the line and says what would be right."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_TEMPLATE:
        raise ValueError(f"The user data is longer than {MOST_TEMPLATE // 1024} KiB. Keep large files in the image.")
    for number, line in enumerate(text.split("\n"), 1):
        if any(character < " " and character not in "\t\r" for character in line) or not _is_unicode(line):
            raise ValueError(f"Line {number}: there is a NUL or another control character, which cloud-init does not take. Take it out.")
    if long := _LONG.search(text):
        where = text[: long.start()].count("\n") + 1
        raise ValueError(f"Line {where}: what stands between the braces is longer than {MOST_EXPRESSION} characters. {_ALLOWED}")
    try:
        tree = _JINJA.parse(text)
    except TemplateSyntaxError as error:
        raise ValueError(f"Line {error.lineno}: {(error.message or 'not understood')[:200].rstrip('.')}. {_RAW}") from None
    except RecursionError:
        raise ValueError(f"Line 1: something is nested too deeply. {_ALLOWED}") from None
    except (ValueError, OverflowError):
        # Python refuses to read a number of more than 4,300 digits.
        raise ValueError(f"Line 1: a number is too long. {_ALLOWED}") from None
    reader = _Reader()
    pieces = tuple(reader.pieces(tree.body, 0))
    return UserData(tuple(reader.references.values()), pieces)


class _Reader:
    """Turns Jinja's tree into ours, or refuses it; collects the references on the way."""

    def __init__(self) -> None:
        self.references: dict[tuple[str, str], Reference] = {}

    def pieces(self, body: list[nodes.Node], depth: int) -> Iterator[_Piece]:
        for node in body:
            if isinstance(node, nodes.Output):
                for part in node.nodes:
                    yield part.data if isinstance(part, nodes.TemplateData) else self._value(part)
            elif isinstance(node, nodes.If):
                yield self._choice(node, depth + 1)
            else:
                raise _refused(node)

    def _choice(self, node: nodes.If, depth: int) -> _Choice:
        if depth > MOST_DEPTH:
            raise ValueError(f"Line {node.lineno}: conditions are nested more than {MOST_DEPTH} deep.")
        branches: list[tuple[_Condition | None, tuple[_Piece, ...]]] = [
            (self._condition(branch.test), tuple(self.pieces(branch.body, depth))) for branch in (node, *node.elif_)
        ]
        if node.else_:
            branches.append((None, tuple(self.pieces(node.else_, depth))))
        return _Choice(tuple(branches))

    def _condition(self, test: nodes.Node) -> _Condition:
        if isinstance(test, nodes.Compare) and len(test.ops) == 1 and test.ops[0].op in {"eq", "ne"}:
            constant = test.ops[0].expr
            if isinstance(constant, nodes.Const) and isinstance(constant.value, str):
                return _Condition(self._reference(test.expr), test.ops[0].op == "eq", constant.value)
        raise ValueError(f"Line {test.lineno}: a condition compares one name with a text, such as {{% if variables.STAGE == 'test' %}}.")

    def _value(self, node: nodes.Expr) -> _Value:
        filters: list[tuple[str, Arguments]] = []
        inner = node
        while isinstance(inner, nodes.Filter):
            filters.append((inner.name, _arguments(inner)))
            if len(filters) > MOST_FILTERS:
                raise ValueError(f"Line {node.lineno}: more than {MOST_FILTERS} filters follow one another.")
            if inner.node is None:
                raise _refused(inner)
            inner = inner.node
        return _Value(self._reference(inner), tuple(reversed(filters)))

    def _reference(self, node: nodes.Node) -> Reference:
        if not isinstance(node, nodes.Getattr):
            raise _refused(node)
        if not isinstance(node.node, nodes.Name) or node.node.name not in {"secrets", "variables"}:
            raise _refused(node.node)
        if node.attr.startswith("_"):
            raise ValueError(f"Line {node.lineno}: {node.node.name}.{node.attr[:63]} cannot be: no name begins with an underscore.")
        if len(node.attr) > MOST_NAME:
            raise ValueError(f"Line {node.lineno}: a name has at most {MOST_NAME} characters, and {node.attr[:20]}… has {len(node.attr)}.")
        reference = Reference(cast(Store, node.node.name), node.attr, node.lineno)
        known = self.references.setdefault((reference.store, reference.name), reference)
        if len(self.references) > MOST_NAMES:
            raise ValueError(f"Line {node.lineno}: there are more than {MOST_NAMES} different names up to here. Use {MOST_NAMES} at most.")
        return known


def _arguments(node: nodes.Filter) -> Arguments:
    where = f"Line {node.lineno}: the filter {node.name[:63]}"
    if node.name not in FILTERS:
        raise ValueError(f"{where} is not available. Use b64encode, indent, tojson or quote.")
    keywords = cast(list[nodes.Keyword], node.kwargs)  # Jinja's own annotation says pairs, its parser makes keywords
    constants = [*node.args, *(keyword.value for keyword in keywords)]
    if node.dyn_args is not None or node.dyn_kwargs is not None or not all(isinstance(each, nodes.Const) for each in constants):
        raise ValueError(f"{where} takes constants only, such as indent(4).")
    values = [cast(nodes.Const, each).value for each in node.args]
    named = {keyword.key: cast(nodes.Const, keyword.value).value for keyword in keywords}
    try:
        return checked_arguments(node.name, values, named)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None


_WORDS: dict[type[nodes.Node], str] = {
    nodes.For: "a loop ({% for %})",
    nodes.Include: "{% include %}",
    nodes.Import: "{% import %}",
    nodes.FromImport: "{% from … import %}",
    nodes.Extends: "{% extends %}",
    nodes.Block: "{% block %}",
    nodes.Macro: "{% macro %}",
    nodes.CallBlock: "{% call %}",
    nodes.FilterBlock: "{% filter %}",
    nodes.With: "{% with %}",
    nodes.Assign: "{% set %}",
    nodes.AssignBlock: "{% set %}",
    nodes.Call: "a call",
    nodes.Getitem: "a subscript ([…])",
    nodes.Getattr: "an attribute of a value",
    nodes.Const: "a constant",
    nodes.Test: "a test (is …)",
    nodes.CondExpr: "an inline if",
    nodes.Compare: "a comparison outside of {% if %}",
    nodes.Concat: "joining with ~",
    nodes.Filter: "a filter there",
    nodes.BinExpr: "arithmetic or logic",
    nodes.UnaryExpr: "arithmetic or logic",
    nodes.Literal: "a list, a tuple or a dictionary",
}


def _refused(node: nodes.Node) -> ValueError:
    if isinstance(node, nodes.Name):
        if node.name in {"secrets", "variables"}:
            return ValueError(f"Line {node.lineno}: say which one of the {node.name}, such as {{{{ {node.name}.NAME }}}}.")
        return ValueError(f"Line {node.lineno}: {node.name[:63]} is neither secrets nor variables. {_RAW}")
    word = next((words for kind, words in _WORDS.items() if isinstance(node, kind)), "that")
    # {% autoescape %} is wrapped in a node that has no line of its own.
    line = node.lineno or next((child.lineno for child in node.iter_child_nodes()), 1)
    return ValueError(f"Line {line}: {word} is not available. {_ALLOWED} {_RAW}")


def _parts(pieces: tuple[_Piece, ...], value_of: Callable[[Store, str], str]) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, str):
            yield piece
        elif isinstance(piece, _Value):
            value = value_of(piece.reference.store, piece.reference.name)
            for name, arguments in () if isinstance(value, Masked) else piece.filters:
                # Between two filters, too: each may make it five times as long.
                value = FILTERS[name](value, **arguments)
                if len(value) > MOST_OUTPUT:
                    break
            yield value
        else:
            for condition, branch in piece.branches:
                if condition is None or _holds(condition, value_of):
                    yield from _parts(branch, value_of)
                    break


def _holds(condition: _Condition, value_of: Callable[[Store, str], str]) -> bool:
    return (value_of(condition.reference.store, condition.reference.name) == condition.constant) is condition.equal


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
