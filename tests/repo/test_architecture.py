"""The shape of the house: imports go down between packages, in no circle within one, and `import colddiff` is light."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "colddiff"
PAGE = ROOT / "docs" / "develop" / "architecture.md"
ROW = re.compile(r"^\| (\d+) \| `(\w+)` \| ([\w, ]+?) \|", re.MULTILINE)

# `package` -> (floor, packages that it may import), as the page has them.
TABLE = {
    name: (int(floor), set() if below == "nothing" else set(re.split(r",\s*", below)))
    for floor, name, below in re.findall(
        r"^\| (\d+) \| `(\w+)` \| ([\w, ]+?) \|", PAGE.read_text("utf-8"), re.MULTILINE
    )
}

# Modules whose names users import; everywhere else an `__init__` loads nothing, so that a package costs nothing.
FACES = {
    "colddiff", "colddiff.degradations", "colddiff.viz", "colddiff.testing", "colddiff.paper",
    "colddiff.interop.diffusers", "colddiff.interop.deepinv",
}  # fmt: skip


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports(module: str, *, at_import: bool = False) -> frozenset[str]:
    """The modules of the library that one imports, anywhere in it, or only while it is itself imported."""
    path = modules()[module]
    package = module.split(".") if path.stem == "__init__" else module.split(".")[:-1]
    found = set()
    for node in _nodes(ast.parse(path.read_text("utf-8")), at_import):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, node.module] if node.module else base)
            found |= {f"{source}.{a.name}" if f"{source}.{a.name}" in modules() else source for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(name for name in found if name.partition(".")[0] == "colddiff" and name != module)


def _nodes(tree: ast.AST, at_import: bool) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if at_import and (inner or typing_only):
            continue
        yield node
        yield from _nodes(node, at_import)


def package_of(module: str) -> str | None:
    """The package at the top that a module is in, if it is in one of the table."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in TABLE else None


INSIDE = [module for module in modules() if package_of(module)]


def test_the_table_has_twelve_packages_on_floors_that_only_look_down() -> None:
    assert len(TABLE) == 12, "the table of packages was not understood"
    for name, (floor, below) in TABLE.items():
        assert all(TABLE[other][0] < floor for other in below), f"{name} may import what is not below it"


@pytest.mark.parametrize("module", INSIDE)
def test_a_module_imports_only_packages_below_its_own(module: str) -> None:
    own = package_of(module)
    allowed = TABLE[own][1] | {own}
    for other in imports(module):
        assert other != "colddiff", f"{module} imports the public face: import the module that has it"
        into = package_of(other)
        assert into is None or into in allowed, f"{module} imports {other}; {own} may import {TABLE[own][1]}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(imports(module)):
                if other in modules():
                    visit(other, (*path, module))
            done.add(module)

    for module in INSIDE:
        visit(module, ())


# What operators are made from, and none of them themselves.
OPERATORS = "colddiff.degradations.operators."


def test_operators_never_import_each_other() -> None:
    for module in modules():
        if module.startswith(OPERATORS):
            assert not {other for other in imports(module) if other.startswith(OPERATORS)}, module


def test_only_the_faces_import_anything_in_their_init() -> None:
    inits = {m for m, path in modules().items() if path.stem == "__init__" and package_of(m) and m not in FACES}
    assert {m for m in inits if imports(m, at_import=True)} == set()


def test_importing_the_library_is_light() -> None:
    heavy = ["accelerate", "matplotlib", "sklearn", "skimage", "jsonargparse", "pyarrow", "diffusers", "pytest"]
    heavy += ["gradio", "deepinv", "torchvision", "onnx", "onnxruntime"]
    light = ("utils", "degradations", "samplers", "colddiff.data", "colddiff.data.image_io", "colddiff.models")
    light += ("colddiff.models.networks", "colddiff.models.networks.unet", "colddiff.models.networks.diffusers_unet")
    own = [module for module in INSIDE if not {module, package_of(module)} & {*light}]
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


TESTS = ROOT / "tests"
# Modules without a test file of their own: where their tests stand instead.
ELSEWHERE: dict[str, str] = {
    "colddiff.apps.cli.command": "tests/apps/cli/test_bad_commands.py",
    "colddiff.apps.cli.command_table": "tests/apps/cli/test_bad_commands.py",
    "colddiff.apps.cli.commands.app": "tests/apps/web/test_server.py",
    "colddiff.apps.cli.commands.compare": "tests/paper/test_compare.py",
    "colddiff.apps.cli.commands.doctor": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.cli.commands.export": "tests/interop/test_onnx.py",
    "colddiff.apps.cli.commands.inspect": "tests/apps/cli/commands/test_train.py",
    "colddiff.apps.cli.commands.plot_calibration": "tests/evaluation/test_calibration.py",
    "colddiff.apps.cli.commands.plot_frequencies": "tests/apps/cli/commands/test_plots.py",
    "colddiff.apps.cli.commands.plot_schedules": "tests/apps/cli/commands/test_plots.py",
    "colddiff.apps.cli.commands.push": "tests/models/test_hub.py",
    "colddiff.apps.cli.commands.reproduce": "tests/paper/test_restoration_table.py",
    "colddiff.apps.cli.image_files": "tests/apps/cli/test_restore_files.py",
    "colddiff.apps.doctor.examine": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.doctor.finding": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.doctor.machine_checks": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.doctor.numeric_checks": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.doctor.overfit": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.doctor.probe_batch": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.doctor.run_checks": "tests/apps/doctor/test_doctor.py",
    "colddiff.apps.web.components": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.controls": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.degrade_tab": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.examples": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.generate_tab": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.network_guard": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.page": "tests/apps/web/test_browser.py",
    "colddiff.apps.web.restore_tab": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.sampler_race": "tests/apps/web/test_tabs.py",
    "colddiff.apps.web.uploads": "tests/apps/web/test_tabs.py",
    "colddiff.data.streaming.shards": "tests/data/streaming/test_webdataset.py",
    "colddiff.degradations.composite": "tests/degradations/operators/test_compose.py",
    "colddiff.degradations.families.variance_preserving": "tests/degradations/operators/test_gaussian_noise.py",
    "colddiff.degradations.fill": "tests/degradations/test_contract.py",
    "colddiff.degradations.operators.from_kornia": "tests/interop/test_kornia.py",
    "colddiff.degradations.times": "tests/degradations/test_noise_schedules.py",
    "colddiff.interop.deepinv.physics": "tests/interop/test_deepinv.py",
    "colddiff.interop.deepinv.reconstructor": "tests/interop/test_deepinv.py",
    "colddiff.interop.diffusers.base": "tests/interop/diffusers/test_scheduler.py",
    "colddiff.interop.random_params": "tests/interop/test_deepinv.py",
    "colddiff.models.batching": "tests/models/test_run.py",
    "colddiff.models.networks.convnext_unet": "tests/models/networks/test_paper_unet.py",
    "colddiff.models.networks.resnet_unet": "tests/models/networks/test_paper_unet.py",
    "colddiff.models.wiener": "tests/models/test_baselines.py",
    "colddiff.paper.comparison_table": "tests/paper/test_compare.py",
    "colddiff.paper.methods": "tests/paper/test_compare.py",
    "colddiff.paper.published": "tests/paper/test_restoration_table.py",
    "colddiff.samplers.base": "tests/samplers/test_cuda_graph.py",
    "colddiff.samplers.generation": "tests/samplers/test_priors.py",
    "colddiff.testing.degradations": "tests/testing/test_contract_catches.py",
    "colddiff.testing.reporting": "tests/testing/test_contract_catches.py",
    "colddiff.testing.samplers": "tests/testing/test_contract_catches.py",
    "colddiff.training.config": "tests/training/test_train.py",
    "colddiff.training.loop": "tests/training/test_train.py",
    "colddiff.training.loss": "tests/training/test_train.py",
    "colddiff.training.prefetch": "tests/training/test_streaming.py",
    "colddiff.training.time_budget": "tests/training/test_train.py",
    "colddiff.utils.huggingface": "tests/interop/test_huggingface.py",
    "colddiff.utils.memory": "tests/models/test_tiling.py",
    "colddiff.utils.rng": "tests/samplers/test_sample.py",
    "colddiff.utils.safetensors_io": "tests/robustness/test_untrusted_runs.py",
    "colddiff.utils.statistics": "tests/paper/test_compare.py",
    "colddiff.viz.calibration_plots": "tests/evaluation/test_calibration.py",
}
# Of those, the ones that these files reach only through another module.
UNNAMED: set[str] = {
    "colddiff.apps.cli.image_files",
    "colddiff.apps.web.sampler_race",
    "colddiff.degradations.composite",
    "colddiff.degradations.families.variance_preserving",
    "colddiff.interop.diffusers.base",
    "colddiff.models.batching",
    "colddiff.training.time_budget",
    "colddiff.utils.huggingface",
}


@pytest.mark.parametrize("module", [m for m, path in modules().items() if not path.stem.startswith("__")])
def test_every_module_has_its_test_file(module: str) -> None:
    inside = modules()[module].relative_to(PACKAGE)
    own = TESTS / inside.with_name(f"test_{inside.name}")
    assert own.exists() != (module in ELSEWHERE), f"{own.relative_to(ROOT)}, or a row of ELSEWHERE, and not both"
    if not own.exists():
        text = (ROOT / ELSEWHERE[module]).read_text("utf-8")
        names = {inside.stem, inside.stem.replace("_", "-"), *_defined(module)}
        assert module in UNNAMED or any(re.search(rf"\b{re.escape(name)}\b", text) for name in names), (
            f"{ELSEWHERE[module]}: no {module}"
        )


def _defined(module: str) -> set[str]:
    """The names of functions and classes at the top of a module."""
    kinds = ast.FunctionDef | ast.ClassDef
    top = [node for node in ast.parse(modules()[module].read_text("utf-8")).body if isinstance(node, kinds)]
    return {node.name for node in top}


def test_the_library_is_the_twelve_packages_of_the_table() -> None:
    there = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert there == {*TABLE, "__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("module", [m for m in INSIDE if package_of(m) != "apps"])
def test_only_the_apps_print_ask_or_read_a_command_line(module: str) -> None:
    for node in ast.walk(ast.parse(modules()[module].read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "input"), f"{module}:{node.lineno} calls {node.func.id}()"
        if isinstance(node, ast.Import | ast.ImportFrom):
            sources = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            packages = {source.partition(".")[0] for source in sources}
            assert not packages & {"argparse", "jsonargparse", "gradio"}, f"{module}:{node.lineno}"
