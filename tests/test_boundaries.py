"""Import rules: training → models ← service, packages in their order, no circles, small folders."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_FILES = 15
MAY_IMPORT = {
    "models": {"models"},
    "service": {"service", "models"},
    "training": {"training", "models"},
}
# The parts of each program from the lowest to the highest: a part imports only parts of lines above
# its own.
ORDER = {
    "models": """
        errors atomic_write malloc similarity audio_names
        card spark
        audio bundle catalogue
        spectrogram
        """,
    "service": """
        errors api_keys client_remedies cores
        settings
        help
        schemas
        observability
        problems
        decoding inference cache catalogue
        transport middleware
        pipeline
        api
        app
        server
        __main__
        cli
        """,
    "training": """
        errors
        tables
        audio cf
        networks datasets
        fitting
        estimator
        objectives
        evaluation
        users
        export
        quantization transfer pretrained similarity
        linear probes tagging preference
        leaderboard papers mine runs
        cli
        __main__
        """,
}
TRAINING_LIBRARIES = {"torch", "torchaudio", "lightning", "implicit", "pandas"}
# What a distribution is imported as, where its name differs.
MODULES = {
    "fastapi": {"fastapi", "starlette"},
    "onnxruntime_gpu": {"onnxruntime"},
    "opentelemetry_sdk": {"opentelemetry"},
}


@dataclass(frozen=True)
class Import:
    """A file of ours that imports a name from another one."""

    source: str
    target: str
    name: str

    def __str__(self) -> str:
        return f"{path_of(self.source)} imports {self.name} from {path_of(self.target)}"


@cache
def modules(program: str) -> dict[str, Path]:
    """Module name → file, of a program's every file."""
    found = {}
    for path in sorted((ROOT / program).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def path_of(module: str) -> Path:
    return modules(module.partition(".")[0])[module].relative_to(ROOT)


def statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements wherever they are, but for those that only a type checker sees."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield from statements(node)


@cache
def imports_of(program: str) -> tuple[Import, ...]:
    """Every import of one file of ours by another."""
    known = {name for package in MAY_IMPORT for name in modules(package)}
    found = []
    for module, path in modules(program).items():
        for node in statements(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                pairs = [(alias.name, alias.name) for alias in node.names]
            else:
                pairs = [(f"{node.module}.{alias.name}", alias.name) for alias in node.names]
            for name, label in pairs:
                target = name if name in known else name.rpartition(".")[0]
                if target in known and target != module:
                    found.append(Import(module, target, label))
    return tuple(found)


def part_of(module: str) -> str:
    """`service.cache.redis` -> `cache`; empty for the program itself."""
    return [*module.split("."), ""][1]


@pytest.mark.parametrize("program", MAY_IMPORT)
def test_a_program_imports_only_what_it_may(program: str) -> None:
    ours = {"models", "service", "training", "tests", "benchmarks"}
    for path in modules(program).values():
        assert imported(path) & ours <= MAY_IMPORT[program], path


@pytest.mark.parametrize("program", ORDER)
def test_every_package_has_its_place_in_the_order(program: str) -> None:
    parts = {part_of(module) for module in modules(program)} - {""}
    assert parts == set(ORDER[program].split())


@pytest.mark.parametrize("program", ORDER)
def test_no_import_goes_upwards(program: str) -> None:
    floors = {
        part: floor
        for floor, line in enumerate(ORDER[program].strip().splitlines())
        for part in line.split()
    }
    upwards = []
    for found in imports_of(program):
        source, target = part_of(found.source), part_of(found.target)
        same_program = found.target.partition(".")[0] == program
        between_parts = same_program and source and target and source != target
        if between_parts and floors[target] >= floors[source]:
            upwards.append(f"{found}: {program}/{source} stands below {program}/{target}")
    assert not upwards, "\n".join(upwards)


@pytest.mark.parametrize("program", MAY_IMPORT)
def test_no_files_import_each_other_in_a_circle(program: str) -> None:
    targets: dict[str, dict[str, Import]] = {module: {} for module in modules(program)}
    for found in imports_of(program):
        if found.target in targets:
            targets[found.source].setdefault(found.target, found)
    circle = find_circle(targets)
    assert not circle, "\n".join(map(str, circle))


def find_circle(targets: dict[str, dict[str, Import]]) -> list[Import]:
    """The imports of one circle, in its order; empty without any."""
    done: set[str] = set()

    def visit(module: str, way: list[Import]) -> list[Import]:
        on_way = [step.source for step in way]
        if module in on_way:
            return way[on_way.index(module) :]
        if module in done:
            return []
        for target, found in targets[module].items():
            if circle := visit(target, [*way, found]):
                return circle
        done.add(module)
        return []

    return next(filter(None, (visit(module, []) for module in targets)), [])


def test_a_circle_is_found_with_its_files_and_names() -> None:
    steps = [
        Import("models.card", "models.errors", "x"),
        Import("models.errors", "models.card", "y"),
    ]
    targets = {step.source: {step.target: step} for step in steps} | {"models.bundle": {}}
    assert [str(step) for step in find_circle(targets)] == [
        "models/card.py imports x from models/errors.py",
        "models/errors.py imports y from models/card.py",
    ]


@pytest.mark.parametrize("program", MAY_IMPORT)
def test_no_folder_has_too_many_files(program: str) -> None:
    for folder in {path.parent for path in modules(program).values()}:
        files = sorted(path.name for path in folder.glob("*.py"))
        assert len(files) <= MAX_FILES, f"{folder.relative_to(ROOT)}: {', '.join(files)}"


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("program", ["models", "service"])
def test_nothing_that_serves_names_a_training_library(program: str) -> None:
    for path in modules(program).values():
        assert not imported(path) & TRAINING_LIBRARIES, path


def declared() -> set[str]:
    """Modules of the distributions that pyproject.toml installs for the service, traces, Spark."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = project["dependencies"] + extras["otel"] + extras["spark"]
    names = (re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines)
    return {module for name in names for module in MODULES.get(name, {name})}


@pytest.mark.parametrize("program", ["models", "service"])
def test_what_serves_imports_only_declared_dependencies(program: str) -> None:
    may = {"models", "service"} | declared() | sys.stdlib_module_names
    for path in modules(program).values():
        # The client is on no index, so nothing depends on it: `tasteprint --url` asks for it.
        client = {"tasteprint_client"} if path.parent.name == "cli" else set()
        assert imported(path) <= may | client, path


def test_importing_the_service_does_no_work_and_loads_no_torch() -> None:
    code = (
        "import service.__main__, service.app, sys, threading; "
        "assert not {'torch', 'torchaudio', 'training'} & set(sys.modules); "
        "assert 'opentelemetry.exporter' not in sys.modules; "
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
