"""The shape of the house: imports go down the floors, and `import colddiff` is light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "colddiff"

PAGE = PACKAGE.parent / "docs" / "architecture.md"

# Module to floor, as the page has them. A module imports from lower floors only: never its own, so that no floor can
# hold a cycle.
TABLE = [
    (name.replace("/", "."), int(number))
    for number, names in re.findall(r"^\| (\d+) \| (`.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    for name in re.findall(r"`([\w/*]+)`", names)
]
FLOORS = dict(TABLE)

# What the public face re-exports is nobody's floor; nothing inside may import it.
FACES = {"", "degradations"}

# Packages on one floor, whose files may import each other.
PACKAGES = ("testing", "doctor", "viz", "interop", "app")


def floor(module: str) -> int:
    parts = module.split(".")
    for name in (module, f"{parts[0]}.*", parts[0]):
        if name in FLOORS:
            return FLOORS[name]
    raise AssertionError(f"colddiff.{module} has no floor: give it one in docs/{PAGE.name}")


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(module: str, path: Path) -> Iterator[str]:
    """The modules of the package that a file imports, anywhere in it."""
    known = {name for name, _ in modules()}
    package = ["colddiff", *module.split(".")] if path.stem == "__init__" else ["colddiff", *module.split(".")[:-1]]
    package = [part for part in package if part]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            names = [f"{source}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            source, names = "", [alias.name for alias in node.names]
        else:
            continue
        if source.partition(".")[0] == "colddiff":
            found = {n.partition(".")[2] for n in names} & known
            yield from found or {source.partition(".")[2]}
        yield from (n.partition(".")[2] for n in names if not source and n.partition(".")[0] == "colddiff")


INSIDE = [(module, path) for module, path in modules() if module not in FACES]


@pytest.mark.parametrize(("module", "path"), INSIDE, ids=[module for module, _ in INSIDE])
def test_imports_go_down_the_floors(module: str, path: Path) -> None:
    for other in imports(module, path):
        assert other not in FACES, f"colddiff.{module} imports the public face: import the module that has it"
        if module.partition(".")[0] == other.partition(".")[0] in PACKAGES:
            continue
        message = f"colddiff.{module} (floor {floor(module)}) imports colddiff.{other} (floor {floor(other)})"
        assert floor(other) < floor(module), message


def test_every_module_that_has_a_floor_exists() -> None:
    assert len(set(FLOORS.values())) > 5, "the table of floors was not understood"
    assert len(TABLE) == len(FLOORS), "a module has two floors"
    assert {name.removesuffix(".*") for name in FLOORS} <= {module for module, _ in modules()}


def test_the_reader_of_imports_sees_them() -> None:
    found = set(imports("beginnings", PACKAGE / "beginnings.py"))
    assert {"degradations.base", "priors", "samplers"} <= found
    assert "degradations" in set(imports("", PACKAGE / "__init__.py"))


# What operators are made from, and none of them themselves.
KINDS = {f"degradations.{kind}" for kind in ("base", "separable", "blend", "preserving", "radial", "adapters")}


def test_operators_never_import_each_other() -> None:
    for module, path in modules():
        if module.startswith("degradations."):
            siblings = {o for o in imports(module, path) if o.startswith("degradations.")}
            assert siblings <= KINDS, f"colddiff.{module} imports {siblings}"


def test_importing_the_library_is_light() -> None:
    heavy = ["accelerate", "matplotlib", "sklearn", "skimage", "jsonargparse", "pyarrow", "diffusers", "pytest"]
    heavy += ["gradio", "deepinv", "torchvision", "onnx", "onnxruntime"]
    own = [f"colddiff.{module}" for module, _ in INSIDE if floor(module) > floor("beginnings")]
    code = f"import colddiff, sys; print([m for m in {heavy + own} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_suite_is_importable_without_pytest() -> None:
    code = "import colddiff.testing, sys; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_importing_the_library_touches_no_global_state() -> None:
    code = (
        "import random, warnings, torch; warnings.simplefilter('error'); "
        "state = lambda: (torch.get_rng_state().tolist(), random.getstate(), torch.get_default_dtype(), "
        "torch.get_num_threads(), torch.get_float32_matmul_precision(), torch.is_grad_enabled()); "
        "before = state(); import colddiff, colddiff.testing; print(state() == before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_the_library_ships_its_types() -> None:
    assert (PACKAGE / "py.typed").exists()
