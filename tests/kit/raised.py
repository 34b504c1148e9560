"""Which error codes the sources can raise, found in their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = ("agent", "bootserver", "installer", "iso_builder", "lab")


@dataclass(frozen=True)
class Raised:
    """A place that makes an error: its code, or None where the code is computed."""

    code: str | None
    kind: str | None
    place: str


@dataclass(frozen=True)
class _Maker:
    """A function that takes a code: its position among the arguments, or its keyword."""

    position: int
    keyword: str = "code"


_ERRORS = {
    "TridentError": _Maker(1),
    "ParseError": _Maker(1),
    "parse_model": _Maker(2),
    "parse_text": _Maker(3),
    "wrong_root": _Maker(1),
    "require_booted": _Maker(1),
}
_KEYWORD_ONLY = ("run",)
_RULES = {
    "Finding": _Maker(0),
    "_finding": _Maker(0),
    "dynamic_error": _Maker(0, "inner"),
    "_invalid": _Maker(0),
    "_load": _Maker(1, "inner"),
    "read": _Maker(1, "inner"),
}


@cache
def errors() -> list[Raised]:
    """Places that make a TridentError."""
    return [raised for path, tree in _sources() for raised in _errors(path, tree)]


@cache
def rules() -> list[Raised]:
    """Places that make a finding, or an error with the name of a rule in it."""
    return [
        Raised(code, None, place)
        for path, tree in _sources()
        for call, maker, place in _calls(path, tree, _RULES)
        if (code := _text(_argument(call, maker), tree)) is not None and "-" in code
    ]


def _errors(path: Path, tree: ast.Module) -> Iterator[Raised]:
    for call, maker, place in _calls(path, tree, _ERRORS):
        argument = _argument(call, maker)
        if argument is not None:
            yield Raised(_text(argument, tree), _kind(call), place)
    for call, maker, place in _calls(path, tree, dict.fromkeys(_KEYWORD_ONLY, _Maker(99))):
        if (code := _text(_argument(call, maker), tree)) is not None:
            yield Raised(code, None, place)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and _is_error(node):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "super().__init__":
                    code = _text(inner.args[1], tree)
                    yield Raised(code, _kind(inner), f"{path}:{inner.lineno}")


def _is_error(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base) == "TridentError" for base in node.bases)


@cache
def _sources() -> list[tuple[Path, ast.Module]]:
    return [
        (path.relative_to(ROOT), ast.parse(path.read_text()))
        for program in PROGRAMS
        for path in sorted((ROOT / program).rglob("*.py"))
    ]


def _calls(
    path: Path, tree: ast.Module, makers: dict[str, _Maker]
) -> Iterator[tuple[ast.Call, _Maker, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            maker = makers.get(_name(node.func))
            if maker is not None:
                yield node, maker, f"{path}:{node.lineno}"


def _name(function: ast.expr) -> str:
    """`run` of both `run` and `scripts.run`."""
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _argument(call: ast.Call, maker: _Maker) -> ast.expr | None:
    if len(call.args) > maker.position:
        return call.args[maker.position]
    return next((word.value for word in call.keywords if word.arg == maker.keyword), None)


def _text(node: ast.expr | None, tree: ast.Module) -> str | None:
    """A literal, or the module's constant of that name."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        for statement in tree.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                    pass
                case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                    pass
                case _:
                    continue
            if name == node.id:
                return text
    return None


def _kind(call: ast.Call) -> str | None:
    """`INVALID_INPUT` of `Kind.INVALID_INPUT`."""
    first = call.args[0] if call.args else None
    if isinstance(first, ast.Attribute) and ast.unparse(first.value) == "Kind":
        return first.attr
    return None
