"""The floors of the house: a module imports only from the floors below its own."""

import ast

import pytest
from conftest import REPOSITORY

FLOORS = [
    {"parallel", "resize", "generator", "discriminator", "losses"},
    {"errors", "batchnorm", "inference"},
    {"config", "files", "precision"},
    {"checkpoint", "images"},
    {"vgg", "metrics", "data", "runlog", "pictures"},
    {"stages", "upscale", "compare"},
    {"evaluate", "jobs"},
    {"trainer", "report"},
]
FLOOR = {name: level for level, names in enumerate(FLOORS) for name in names}
MODULES = sorted(path.stem for path in (REPOSITORY / "srgan").glob("*.py") if path.stem != "__init__")


def imported_modules(name: str) -> set[str]:
    """The modules of the package that a module imports, anywhere in its file."""
    tree = ast.parse((REPOSITORY / "srgan" / f"{name}.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "imports are absolute"
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "srgan")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {module.split(".")[1] for module in found if module.startswith("srgan.")}


def test_every_module_has_a_floor() -> None:
    assert set(FLOOR) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_come_from_lower_floors(name: str) -> None:
    above = {other for other in imported_modules(name) if FLOOR[other] >= FLOOR[name]}
    assert not above, f"{name} is on floor {FLOOR[name]} and imports {above}"


@pytest.mark.parametrize("script", ["pretrain", "train", "test", "demo"])
def test_root_scripts_are_thin(script: str) -> None:
    lines = (REPOSITORY / f"{script}.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
