"""The examples of CONTRIBUTING.md run as they stand."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from genrec.data.load import prepare
from genrec.data.tables import Dataset, Interactions, ItemTable

ROOT = Path(__file__).resolve().parents[1]


def example(path: str, folder: Path) -> ModuleType:
    """The example whose first line names `path`, imported from a file in `folder`."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    code = re.search(rf"```python\n# {re.escape(path)}\n(.*?)```", text, re.DOTALL)
    assert code is not None, f"CONTRIBUTING.md has no example {path}"
    file = folder / Path(path).name
    file.write_text(code[1], "utf-8")
    spec = spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_dataset(tmp_path: Path) -> None:
    module = example("genrec/data/datasets/concerts.py", tmp_path)
    (tmp_path / "visits.csv").write_text("visitor,show,time\n7,1,100\n7,2,200\n8,2,50\n", "utf-8")
    (tmp_path / "shows.csv").write_text('show,name\n1,"Bach, live"\n2,Miles\n3,Nobody came\n', "utf-8")
    dataset: Dataset = prepare(module.DATASETS[0], tmp_path)
    assert list(dataset.items.frame["title"]) == ["Bach, live", "Miles", "Nobody came"]
    assert list(dataset.users.ids) == [7, 8]
    np.testing.assert_array_equal(dataset.interactions.matrix().toarray(), [[1, 1, 0], [0, 1, 0]])


def test_recaller(tmp_path: Path) -> None:
    recaller = example("genrec/recall/together.py", tmp_path).Together(batch_size=2)
    users, items = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [1, 2], [2, 0], [3, 3]], np.int32).T.copy()
    catalogue = ItemTable(pd.DataFrame({"item_id": range(5)}))
    train = Interactions(users, items, n_users=4, n_items=5)
    lists = recaller.fit(train, catalogue).recommend(np.array([2, 0], np.int32), 2).items
    np.testing.assert_array_equal(lists[0], [1, 2])  # item 0 goes with 1 twice, with 2 once
    assert lists[1, 0] == 2


def test_encoder(tmp_path: Path) -> None:
    years = pd.array([1954, None, 2021], dtype="Int64")
    catalogue = ItemTable(pd.DataFrame({"item_id": range(3), "year": years}))
    nothing = Interactions(np.empty(0, np.int32), np.empty(0, np.int32), n_users=0, n_items=3)
    features = example("genrec/features/decade.py", tmp_path).Decade().encode(catalogue, nothing)
    assert features.present.tolist() == [True, False, True]
    assert [np.flatnonzero(row).tolist() for row in features.vectors] == [[5], [], [12]]
