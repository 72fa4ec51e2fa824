"""The rules that keep the rooms apart and the code safe, checked on the source itself.

A rule is a function of source text that returns what it found; each is also shown a snippet that breaks it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 400  # lines; the aim is 300

# DESIGN: which rooms a room may import besides itself and the leaves.
ROOMS: dict[str, set[str]] = {
    "data": set(),
    "features": {"data"},
    "tokenizer": {"data", "features"},
    "generative": {"data", "tokenizer"},
    "recall": {"data", "features", "tokenizer", "generative", "training"},
    "ranking": {"data", "tokenizer"},
    "rerank": set(),
    "evaluation": {"data"},
    "stages": {"data", "features", "rerank"},
    "trace": {"data", "stages"},
    "trace_page": {"evaluation", "trace"},
    "pipeline": {"data", "features", "recall", "ranking", "rerank", "evaluation", "stages", "trace"},
    "candidates": {"data", "features", "recall", "ranking"},
    "preranking": {"data", "features", "recall", "ranking"},
    "pipeline_store": {
        *("data", "features", "tokenizer", "recall", "ranking", "rerank"),
        *("stages", "preranking", "pipeline"),
    },
    "pipeline_bench": {"data", "evaluation", "pipeline", "stages"},
    "bench": {"data", "features", "tokenizer", "generative", "recall", "evaluation"},
    "entrant": {"bench", "generative", "tokenizer", "recall", "evaluation"},
    "training": set(),
}
LEAVES = {"errors", "topk", "artifacts", "__version__"}  # imported by every room, import only each other
SCRIPT_ONLY = {"config"}  # the command line over gin: no room imports it

IMPORTERS = {"importlib.import_module", "__import__"}
PICKLERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal"}
BANNED_CALLS = {
    "eval": "evaluates text",
    "exec": "executes text",
    "joblib.dump": "writes a pickle",
    "joblib.load": "reads a pickle",
    "os.popen": "starts a shell",
    "os.system": "starts a shell",
    "pandas.read_pickle": "reads a pickle",
    "torch.save": "writes a pickle; use safetensors",
}

PACKAGE = sorted(ROOT.glob("genrec/**/*.py"))
SCRIPTS = sorted([*ROOT.glob("*.py"), *ROOT.glob("experiments/**/*.py")])
TESTS = sorted(ROOT.glob("tests/**/*.py"))


def module_name(path: Path) -> str:
    """`genrec.data.tables` for genrec/data/tables.py; a package is named by its folder."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, package: str = "") -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything imported anywhere in a module, functions and TYPE_CHECKING included.

    `from a import b` yields `a.b`; relative imports are resolved against `package`.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in IMPORTERS:
            yield from ((node.lineno, str(arg.value)) for arg in node.args if isinstance(arg, ast.Constant))


def wrong_imports(source: str, module: str, package: str) -> list[str]:
    """Imports of `module` that point up or sideways in the table of rooms."""
    room = module.split(".")[1] if "." in module else ""
    own = SCRIPT_ONLY if room in SCRIPT_ONLY else {room} & set(ROOMS)
    allowed = LEAVES | ROOMS.get(room, set()) | own
    names = [(line, name.split(".")) for line, name in imports(source, package)]
    return [
        f"{module}:{line} imports genrec.{name[1] if len(name) > 1 else ''}"
        for line, name in names
        if name[0] == "genrec" and (len(name) < 2 or name[1] not in allowed)
    ]


def unsafe(source: str) -> list[str]:
    """Uses of pickle, eval, a shell, or of loaders that would unpickle."""
    tree = ast.parse(source)
    full: dict[str, str] = {}  # local name -> dotted name it was imported as
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            start = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            full |= {alias.asname or alias.name: start + alias.name for alias in node.names}
    found = [f"{line}: imports {name}" for line, name in imports(source) if name.split(".")[0] in PICKLERS]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, _, tail = ast.unparse(node.func).partition(".")
        name = full.get(head, head) + (f".{tail}" if tail else "")
        true = {str(k.arg) for k in node.keywords if ast.unparse(k.value) == "True"}
        if name in BANNED_CALLS:
            found.append(f"{node.lineno}: {name} {BANNED_CALLS[name]}")
        if name == "torch.load" and "weights_only" not in true:
            found.append(f"{node.lineno}: torch.load without weights_only=True")
        if tail.endswith("to_pickle"):
            found.append(f"{node.lineno}: writes a pickle")
        found += [f"{node.lineno}: {flag}=True" for flag in sorted(true & {"shell", "allow_pickle"})]
    return found


def careless(source: str) -> list[str]:
    """`**kwargs` parameters, and handlers that would swallow a bug."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and node.args.kwarg:
            found.append(f"{node.lineno}: **{node.args.kwarg.arg} hides the arguments")
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if caught in {"Exception", "BaseException"} and not raises:
                found.append(f"{node.lineno}: except {caught} swallows bugs")
    return found


def uses_gin(source: str) -> bool:
    """Whether a module imports gin."""
    return any(name.split(".")[0] == "gin" for _, name in imports(source))


def room_of(path: Path) -> str:
    """The folder below genrec/ or tests/ that holds a file; empty for a file right there."""
    parts = path.relative_to(ROOT).parts
    return parts[1] if len(parts) > 2 else ""


def untested(tests: dict[Path, str], package: dict[Path, str]) -> set[str]:
    """Modules that no test of their room reaches: imported there, or by a module of the room that is reached."""
    modules = {module_name(path): path for path in package}
    missed = set()
    for room in {room_of(path) for path in modules.values()}:
        own = {name: path for name, path in modules.items() if room_of(path) == room}
        todo = [(path, text) for path, text in tests.items() if room_of(path) == room]
        while todo:
            _, text = todo.pop()
            names = [f"{name}." for _, name in imports(text)]
            plugins = tuple(
                name for name in names if name.count(".") == 3
            )  # a package's modules are found by it
            hit = {
                module
                for module in own
                if module.startswith(plugins) or any(name.startswith(f"{module}.") for name in names)
            }
            todo += [(own[module], package[own[module]]) for module in hit]
            own = {module: path for module, path in own.items() if module not in hit}
        missed |= set(own)
    return missed


def relative(path: Path) -> str:
    """Path below the root, for test ids."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_imports_point_down(path: Path) -> None:
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    assert wrong_imports(path.read_text("utf-8"), module, package) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("genrec.data.x", "from genrec.features.base import ItemFeatures"),
        ("genrec.data.x", "from genrec import recall"),
        ("genrec.rerank.x", "def f():\n    import genrec.data.tables"),
        ("genrec.training.x", "if TYPE_CHECKING:\n    from genrec.tokenizer import RqVae"),
        ("genrec.evaluation.x", "from ..recall import base"),
        ("genrec.features.x", "import importlib\nimportlib.import_module('genrec.recall.base')"),
        ("genrec.artifacts", "from genrec.data.tables import Interactions"),
        ("genrec.recall.x", "from genrec.config import main"),
        ("genrec.recall.x", "import genrec"),
        ("genrec.recall.x", "from genrec.newroom import y"),
    ],
)
def test_an_import_upwards_is_found(module: str, source: str) -> None:
    assert len(wrong_imports(source, module, module.rpartition(".")[0])) == 1


def test_an_import_downwards_is_allowed() -> None:
    source = "from genrec.data import tables\nfrom genrec.topk import topk\nfrom .base import check_k"
    assert wrong_imports(source, "genrec.recall.x", "genrec.recall") == []


def test_every_room_is_in_the_table() -> None:
    folders = {path.parent.name for path in (ROOT / "genrec").glob("*/__init__.py")}
    modules = {path.stem for path in (ROOT / "genrec").glob("*.py")} - {"__init__"}
    assert folders | modules <= set(ROOMS) | LEAVES | SCRIPT_ONLY


@pytest.mark.parametrize("path", PACKAGE, ids=relative)
def test_gin_stays_outside_the_package(path: Path) -> None:
    assert module_name(path).startswith("genrec.config") or not uses_gin(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "source", ["import gin", "def f():\n    from gin import config", "import gin.torch as g"]
)
def test_an_import_of_gin_is_found(source: str) -> None:
    assert uses_gin(source)


@pytest.mark.parametrize("path", PACKAGE + SCRIPTS, ids=relative)
def test_no_unsafe_calls(path: Path) -> None:
    assert unsafe(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from cloudpickle import dumps",
        "import joblib\njoblib.dump(x, p)",
        "from joblib import dump as d\nd(x, p)",
        "import torch as t\nt.load(p)",
        "import torch\ntorch.load(p, weights_only=False)",
        "from torch import save\nsave(x, p)",
        "import numpy as np\nnp.load(p, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(p)",
        "frame.to_pickle(p)",
        "eval('1')",
        "exec(text)",
        "import subprocess\nsubprocess.run(c, shell=True)",
        "import os\nos.system(c)",
    ],
)
def test_an_unsafe_call_is_found(source: str) -> None:
    assert len(unsafe(source)) == 1


def test_safe_calls_are_allowed() -> None:
    assert unsafe("import torch\ntorch.load(p, weights_only=True)\nmodel.eval()\nrun(c, shell=False)") == []


@pytest.mark.parametrize("path", PACKAGE + SCRIPTS, ids=relative)
def test_no_careless_code(path: Path) -> None:
    assert careless(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f(**kw): ...",
        "try:\n    f()\nexcept:\n    pass",
        "try:\n    f()\nexcept Exception as e:\n    g(e)",
    ],
)
def test_careless_code_is_found(source: str) -> None:
    assert len(careless(source)) == 1


def test_a_handler_that_cleans_up_and_raises_is_allowed() -> None:
    assert careless("try:\n    f()\nexcept BaseException:\n    clean()\n    raise") == []


@pytest.mark.parametrize("path", PACKAGE + SCRIPTS + TESTS, ids=relative)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= LONGEST_FILE


def test_every_package_and_module_says_what_it_is() -> None:
    assert [
        relative(path)
        for path in PACKAGE + SCRIPTS
        if not ast.get_docstring(ast.parse(path.read_text("utf-8")))
    ] == []
    folders = {path.parent for path in PACKAGE}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_module_is_tested_in_its_room() -> None:
    tests, package = ({path: path.read_text("utf-8") for path in paths} for paths in (TESTS, PACKAGE))
    assert untested(tests, package) == set()


def test_an_untested_module_is_found() -> None:
    tests = {
        ROOT / "tests/data/test_a.py": "from genrec.data.a import f",
        ROOT / "tests/e2e/test_x.py": "import genrec.data.c",
    }
    package = {ROOT / f"genrec/data/{name}.py": "" for name in "bc"}
    package[ROOT / "genrec/data/a.py"] = "from genrec.data import b"
    assert untested(tests, package) == {"genrec.data.c"}


def test_test_folders_mirror_the_package() -> None:
    folders = {path.relative_to(ROOT).parts[1] for path in TESTS if len(path.relative_to(ROOT).parts) > 2}
    assert folders <= set(ROOMS) | SCRIPT_ONLY | {"integration", "e2e"}
