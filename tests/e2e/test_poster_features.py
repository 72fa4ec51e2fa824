"""Posters to vectors through the real script: kills, refusals, MovieLens 1M with packaged weights."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scripts_in_child import Outcome, Trouble, run

from genrec.features.poster_manifest import read_poster_manifest

SCRIPT = "experiments/poster_features.py"
N = 24
OUT = "out/features.npy"
USUAL = ("extract.batch_size = 4", "extract.shard_size = 8", f"extract.poster_feature_path = '{OUT}'")
TINY = ("--encoder", "timm/test_efficientnet", "--weights", "none")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A custom data set of films whose posters differ; one is damaged, one is missing."""
    data = tmp_path / "data"
    (data / "posters").mkdir(parents=True)
    events = pd.DataFrame({"user_id": 1, "item_id": range(N), "timestamp": range(N)})
    events.to_csv(data / "interactions.csv", index=False)
    pd.DataFrame({"item_id": range(N)}).to_csv(data / "items.csv", index=False)
    for film in range(N - 1):
        Image.new("RGB", (40, 60), (film * 10, 255 - film * 10, 90)).save(data / f"posters/{film}.jpg")
    (data / "posters/5.jpg").write_bytes(b"\xff\xd8\xff")
    return tmp_path


def extract(home: Path, *more: str, trouble: Trouble | None = None) -> Outcome:
    line = ("--dataset", "custom", "--dataset-folder", "data", *USUAL, *more)
    return run(SCRIPT, *line, folder=home, trouble=trouble)


def begun_at(outcome: Outcome) -> int:
    """How many posters were done when the progress bar appeared."""
    shown = re.search(r"(\d+)/23 \[", outcome.err)
    assert shown is not None, outcome.err
    return int(shown[1])


def test_killed_at_any_write_it_goes_on_and_ends_with_the_same_file(home: Path) -> None:
    outcome = extract(home, *TINY)
    assert outcome.code == 0, outcome.err
    assert "22 of 24 items have" in outcome.out
    assert "1 have no poster, 1 posters cannot be read (see features.failed.csv)" in outcome.out
    whole = {path.name: path.read_bytes() for path in (home / "out").iterdir()}
    shutil.rmtree(home / "out")
    begun = []
    for moment in (3, 6):  # in the second shard; when the first file of the result has been written
        outcome = extract(home, *TINY, trouble=Trouble(kill_at_write=moment))
        assert outcome.killed
        begun.append(begun_at(outcome))
    outcome = extract(home, *TINY)
    assert outcome.code == 0, outcome.err
    assert [*begun, begun_at(outcome)] == [0, 8, 23], "from the start; one shard was there; every shard was"
    assert {path.name: path.read_bytes() for path in (home / "out").iterdir()} == whole


def test_a_finished_run_is_not_repeated(home: Path) -> None:
    """The first one has its network as an object, the way one that genrec does not know is bound."""
    bound = (
        "import genrec.features.images.timm_models as timm_models",
        "extract.encoder = @timm_models.TimmModel()",
        "timm_models.TimmModel.model = 'test_efficientnet'",
        "timm_models.TimmModel.weights = 'none'",
    )
    outcome = extract(home, *bound)
    assert outcome.code == 0, outcome.err
    assert "bind the weights of the object" in extract(home, *bound, "--weights", "none").refusal
    written = (home / OUT).stat().st_mtime_ns
    outcome = extract(home, *TINY)
    assert outcome.code == 0
    assert "22 of 24 items have" in outcome.out
    assert (home / OUT).stat().st_mtime_ns == written
    assert "poster/s" not in outcome.err


def test_refusals_are_one_sentence(home: Path) -> None:
    (home / "wrong.pth").write_bytes(b"\0" * 100)
    cases = {
        ("--encoder", "resnet5"): "encoder 'resnet5' is unknown",
        ("--weights", "wrong.pth"): "weights wrong.pth cannot be read",
        ("--weights", "gone.pth"): "weights file gone.pth does not exist",
        ("--poster-folder", "nowhere"): "there is no poster of any of the 24 items in nowhere",
        ("extract.poster_feature_path = 'x.npz'",): "extract.poster_feature_path must end in .npy",
        (*TINY, "extract.device = 'abacus'"): "extract.device 'abacus' is not available here",
        (*TINY, "extract.workers = -2"): "extract.workers must be 0 or more",
        (*TINY, "extract.batch_size = 0"): "extract.batch_size must be at least 1",
    }
    for line, text in cases.items():
        assert text in extract(home, *line).refusal, line
    assert not (home / OUT).exists()


def test_movielens_1m_with_packaged_weights(tmp_path: Path, shared_data: Path) -> None:
    folder, films = tmp_path / "dataset/ml-1m-content", (1, 2, 3, 10, 34, 364, 588, 595)
    (folder / "posters").mkdir(parents=True)
    for name in ("interactions.parquet", "movies.dat"):
        shutil.copy(shared_data / "ml-1m" / name, folder / name)
    for film in films:
        shutil.copy(shared_data / f"ml-1m/posters/{film}.jpg", folder / f"posters/{film}.jpg")
    outcome = run(SCRIPT, "configs/poster_features_ml1m.gin", folder=tmp_path)
    assert outcome.code == 0, outcome.err
    features = tmp_path / "dataset/ml1m_poster_features.npy"
    manifest = read_poster_manifest(features)
    assert manifest is not None
    assert (manifest.width, manifest.counts["encoded"]) == (1280, len(films))
    vectors = np.load(features)[manifest.mask]
    assert len(np.unique(vectors.round(4), axis=0)) == len(films)
    outcome = run(
        "experiments/poster_probe.py",
        "configs/poster_probe_ml1m.gin",
        "probe.genres = ('Animation',)",
        "probe.splits = 2",
        folder=tmp_path,
    )
    assert outcome.code == 0, outcome.err
    assert re.search(r"^Animation +AUC [01]\.\d{3} ± ", outcome.out, re.MULTILINE)
