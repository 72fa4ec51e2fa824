"""The tutorial notebook is stored without outputs, and every cell of it runs."""

from __future__ import annotations

import ast
import base64
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import matplotlib.image
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from genrec.data.tables import Dataset

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "experiments" / "tutorial.ipynb"
SMALL = """
PRERANK_EPOCHS = 1
RANK_EPOCHS = 1
RANK_EVENTS = 5
USERS = 150
LAMBDAS = (1.0, 0.7, 0.4)
"""
PROBE = """
import json
import os

tables = {"recall": recall_table, "prerank": prerank_table, "rank": rank_table, "rerank": rerank_table}
tables |= {"test": test_table, "funnel": funnel}
print(json.dumps({
    "tables": {name: {str(key): list(map(float, table[key])) for key in table} for name, table in tables.items()},
    "change": [change.low, change.mean, change.high],
    "weight": weight,
    "items": [item["item_id"] for item in trace.to_json()["items"]],
    "rows": len(answer),
    "history": data.items.ids[pipeline.world.histories[user]].tolist(),
    "kernel": os.getpid(),
    "hash": data.content_hash,
}))
"""
HASH = "print(data.content_hash)"


def notebook() -> NotebookNode:
    """As it is stored."""
    return nbformat.read(NOTEBOOK, as_version=4)


def code(book: NotebookNode) -> list[NotebookNode]:
    """Its code cells."""
    return [cell for cell in book.cells if cell.cell_type == "code"]


def unclean(book: NotebookNode) -> list[str]:
    """What a notebook holds besides text, code and tags, cell by cell."""
    found = [f"{cell.id} has outputs" for cell in code(book) if cell.outputs]
    found += [f"{cell.id} has an execution count" for cell in code(book) if cell.execution_count is not None]
    found += [f"{cell.id} has metadata" for cell in book.cells if set(cell.metadata) - {"tags"}]
    found += ["the notebook has metadata"] * bool(set(book.metadata) - {"kernelspec", "language_info"})
    return found


def assigned(source: str) -> set[str]:
    """Names that a cell sets."""
    return {
        node.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def parameters(book: NotebookNode) -> int:
    """Where the cell stands that is tagged as such."""
    tagged = [place for place, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    return tagged[0]


def run(book: NotebookNode, folder: Path) -> NotebookClient:
    """Execute all cells in a kernel of its own, which is gone afterwards."""
    client = NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return client


def outputs(book: NotebookNode, kind: str) -> list[Any]:
    """All outputs of one kind: the text of a stream, or data of a MIME type."""
    every = [output for cell in code(book) for output in cell.outputs]
    return [one.text for one in every if one.get("name") == kind] + [
        one.data[kind] for one in every if kind in one.get("data", {})
    ]


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the user's is read or written, and there need not be a home."""
    for name in (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    ):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)


def test_it_is_stored_clean() -> None:
    book = notebook()
    nbformat.validate(book)
    assert unclean(book) == []
    assert book.metadata.kernelspec.name == "python3"


def test_an_unclean_notebook_is_found() -> None:
    book = notebook()
    cell = code(book)[0]
    cell.execution_count, cell.metadata["execution"] = 1, {}
    cell.outputs = [nbformat.v4.new_output("stream", text="hello")]
    book.metadata["widgets"] = {}
    assert unclean(book) == [
        f"{cell.id} has outputs",
        f"{cell.id} has an execution count",
        f"{cell.id} has metadata",
        "the notebook has metadata",
    ]


def test_its_text_names_files_that_exist() -> None:
    text = "\n".join(cell.source for cell in notebook().cells if cell.cell_type == "markdown")
    named = set(re.findall(r"(?:experiments/|configs/|train_)[\w/.-]+\.(?:py|gin)", text))
    assert len(named) >= 5
    assert [path for path in sorted(named) if not (ROOT / path).is_file()] == []


@pytest.mark.usefixtures("homeless")
def test_every_cell_runs(ml100k: Dataset) -> None:
    book = notebook()
    place = parameters(book)
    assert assigned(SMALL) <= assigned(book.cells[place].source)
    load = next(
        cell.source for cell in book.cells if "load_dataset(" in cell.source and cell.cell_type == "code"
    )
    book.cells.insert(place + 1, new_code_cell(SMALL))
    book.cells += [new_code_cell(source) for source in (PROBE, "%cd -q ..", load, HASH)]
    client = run(book, NOTEBOOK.parent)

    assert outputs(book, "stderr") == []
    found = json.loads(book.cells[-4].outputs[0].text)
    assert found["hash"] == ml100k.content_hash == outputs(book, "stdout")[-1].strip()  # from either folder
    check_figures(found)
    pictures = [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(one))) for one in outputs(book, "image/png")
    ]
    assert len(pictures) == 3
    assert all(min(one.shape[:2]) > 300 and one[..., :3].std() > 0.02 for one in pictures)
    assert client.km is None
    with pytest.raises(ProcessLookupError):
        os.kill(found["kernel"], 0)


def check_figures(found: dict[str, Any]) -> None:
    """Each stage has its own figures, finite, and as they must be whatever the settings."""
    tables = {
        name: {key: np.array(column) for key, column in table.items()}
        for name, table in found["tables"].items()
    }
    for name, table in tables.items():
        assert all(np.isfinite(column).all() for column in table.values()), name
    recall = tables["recall"]
    assert list(recall) == ["recall@10", "recall@50", "recall@100", "recall@200", "ndcg@10"]
    assert (np.diff([recall[key] for key in list(recall)[:4]], axis=0) >= 0).all()
    assert (recall["recall@200"][1:] > recall["recall@200"][0]).all()  # popularity is first
    assert set(tables["prerank"]) == {"recall@10", "recall@50", "recall@100", "ndcg@10"}
    assert list(tables["rank"]) == ["LR", "DeepFM"]
    random, _, _, within, _, loss = tables["rank"]["DeepFM"]
    assert random > within > 0.4
    assert random > 0.7
    assert 0 < loss < 0.25
    assert (np.diff(tables["rerank"]["diversity"]) > 0).all()  # as λ falls
    assert {"N@10", "novelty", "coverage"} < set(tables["rerank"])
    assert set(tables["test"]) == {f"{name}@10" for name in ("recall", "ndcg", "ild", "novelty", "coverage")}
    assert (np.diff(tables["funnel"]["targets left"]) <= 0).all()
    assert tables["funnel"]["items per user"].tolist() == [200, 100, 100, 10]
    assert found["change"] == sorted(found["change"])
    assert 0 <= found["weight"] <= 1
    assert len(set(found["items"])) == found["rows"] == 10
    assert not set(found["items"]) & set(found["history"])
