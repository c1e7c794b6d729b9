"""Each fact has one home: what the service says, its bounds, and the names of its classes stand in one module."""

import ast
from collections import defaultdict
from collections.abc import Iterator

from config import ROOT

# Descriptions for the documentation of the API and of commands may say the same of two things; the gate for CI is one
# file, which imports nothing of the application.
ELSEWHERE = ("app/schemas", "app/gate.py", "app/promote.py", "app/apply.py", "app/standalone_gate.py")

LARGE = 1000


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted((ROOT / "app").rglob("*.py")):
        yield file.relative_to(ROOT).as_posix(), ast.parse(file.read_text())


def _texts(tree: ast.Module) -> Iterator[str]:
    """The texts of a module, without docstrings and parts of texts."""
    left_out = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    left_out |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


def _in_several(homes: dict[object, set[str]]) -> dict[object, list[str]]:
    return {fact: sorted(modules) for fact, modules in homes.items() if len(modules) > 1}


def test_what_the_service_says_in_a_sentence_stands_in_one_module() -> None:
    homes: dict[object, set[str]] = defaultdict(set)
    for name, tree in _modules():
        if not name.startswith(ELSEWHERE):
            for text in _texts(tree):
                if len(text.split()) > 4:
                    homes[text].add(name)
    assert _in_several(homes) == {}


def test_modules_that_call_a_large_bound_the_same_share_it() -> None:
    homes: dict[object, set[str]] = defaultdict(set)
    for name, tree in _modules():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _is_large(node.value):
                homes[node.targets[0].id.strip("_"), ast.unparse(node.value)].add(name)
    assert _in_several(homes) == {}


def _is_large(node: ast.expr) -> bool:
    """Whether this is a number of four digits or more, or a product or power of numbers."""
    if isinstance(node, ast.BinOp):
        return all(isinstance(side, ast.Constant | ast.BinOp) for side in (node.left, node.right))
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value >= LARGE


def test_no_two_classes_that_modules_share_have_the_same_name() -> None:
    homes: dict[object, set[str]] = defaultdict(set)
    for name, tree in _modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(name)
    assert _in_several(homes) == {}
