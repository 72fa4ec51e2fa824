"""A ranker as an artifact: what comes back scores the same, what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_log import N_ITEMS, N_USERS, items, log, rows, users

from genrec.errors import ArtifactError, ConfigError
from genrec.ranking.calibration import Isotonic, Plain, Platt
from genrec.ranking.inputs import InputLayer
from genrec.ranking.models.base import RankModel
from genrec.ranking.models.deepfm import DeepFm
from genrec.ranking.models.din import Din
from genrec.ranking.models.lr import Lr
from genrec.ranking.models.ple import Ple
from genrec.ranking.schema import Schema
from genrec.ranking.store import Ranker, load_ranker, save_ranker

FEATURES = {
    "user": {"kind": "categorical", "source": "user"},
    "item": {"kind": "categorical", "source": "item"},
    "genres": {"kind": "multi_label", "source": "item.genres"},
    "mean": {"kind": "numeric", "source": "statistic.user_mean"},
    "history": {"kind": "sequence", "source": "history", "length": 4, "shares": "item"},
}
EVENTS = [(u, i, float(1 + (u + i) % 5), 10 * u + i) for u in range(N_USERS) for i in range(N_ITEMS)]
REFERENCES = {
    "dataset": {"path": "tiny", "hash": "d" * 64},
    "split": {"path": "time", "hash": "s" * 64},
    "features": {"path": "text", "hash": "f" * 64},
}
ROWS = rows([(0, 1, 100), (3, 5, 12), (-1, 2, 50), (2, 99, 50), (1, 1, 0)])


def small_ranker(kind: str = "deepfm", calibration: str = "platt") -> Ranker:
    torch.manual_seed(0)
    schema = Schema(FEATURES).fit(log(EVENTS), items(), users())
    layer = InputLayer(schema, 4, init_std=0.5)
    models: dict[str, RankModel] = {
        "deepfm": DeepFm(layer, hidden=(6,)),
        "din": Din(layer, hidden=(6,), attention=(4,)),
        "ple": Ple(layer, tasks=("like", "return"), hidden=(4,)),
    }
    steps = {
        "platt": Platt(0.5, -1.0),
        "isotonic": Isotonic([-1.0, 1.0], [0.2, 0.7]),
        "none": Plain(),
    }
    return Ranker(models[kind].eval(), schema, steps[calibration])


def save(folder: Path, ranker: Ranker) -> None:
    save_ranker(folder, ranker, inputs=REFERENCES, catalogue="c" * 64, metrics={"auc": 0.7}, rerun="train it")


@pytest.mark.parametrize(("kind", "calibration"), [("deepfm", "platt"), ("din", "isotonic"), ("ple", "none")])
def test_what_comes_back_scores_the_same(tmp_path: Path, kind: str, calibration: str) -> None:
    ranker = small_ranker(kind, calibration)
    save(tmp_path, ranker)
    again = load_ranker(tmp_path, catalogue="c" * 64, split_hash="s" * 64, inputs={"features": "f" * 64})
    one, other = ranker(ROWS), again(ROWS)
    assert np.array_equal(one.logits, other.logits)
    assert np.array_equal(one.probabilities, other.probabilities)
    assert np.isfinite(one.logits).all()
    assert list(other.tasks) == (["like", "return"] if kind == "ple" else [])
    assert not again.model.training


def test_scores_are_the_models_and_the_calibrations() -> None:
    ranker = small_ranker()
    found = ranker(ROWS)
    with torch.no_grad():
        logits = ranker.model(ranker.schema.transform(ROWS)).numpy()
    assert np.array_equal(found.logits, logits)
    assert found.probabilities == pytest.approx(1 / (1 + np.exp(-(0.5 * logits.astype(float) - 1))))


def test_rows_are_scored_by_what_was_known_before_their_time(tmp_path: Path) -> None:
    ranker = small_ranker("din")
    save(tmp_path, ranker)
    again = load_ranker(tmp_path)
    later = again.with_log(log([*EVENTS, (0, 3, 5.0, 60)]))
    before, after = rows([(0, 1, 55)]), rows([(0, 1, 65)])
    assert np.array_equal(later(before).logits, ranker(before).logits)
    assert not np.array_equal(later(after).logits, ranker(after).logits)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"catalogue": "x" * 64}, "another catalogue"),
        ({"split_hash": "x" * 64}, "made from split ssssssss"),
        ({"inputs": {"features": "x" * 64}}, "made from features ffffffff"),
        ({"inputs": {"semantic_ids": "x" * 64}}, "made from semantic_ids unknown"),
    ],
)
def test_a_ranker_that_was_made_from_something_else_is_refused(
    tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    save(tmp_path, small_ranker())
    with pytest.raises(ArtifactError, match=said):
        load_ranker(tmp_path, **arguments)  # type: ignore[arg-type]


def test_damage_and_other_versions_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"no ranker artifact in .*; run `python experiments/train_ranker\.py"
    ):
        load_ranker(tmp_path / "nowhere")
    save(tmp_path, small_ranker())
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for name in ("model.safetensors", "schema.json", "calibration.json", "log.parquet"):
        path = tmp_path / manifest["files"][name]["path"]
        kept = path.read_bytes()
        path.write_bytes(kept[:-1] + b"?")
        with pytest.raises(ArtifactError, match="changed or damaged"):
            load_ranker(tmp_path)
        path.write_bytes(kept)
    manifest["facts"]["model"] = "forest"
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="does not fit this version of the code; run `train it` again"):
        load_ranker(tmp_path)


def test_a_model_that_could_not_be_found_again_is_not_written(tmp_path: Path) -> None:
    class Mine(Lr):
        pass

    ranker = small_ranker()
    mine = Ranker(Mine(ranker.model.inputs), ranker.schema, Plain())
    with pytest.raises(ConfigError, match="Mine"):
        save(tmp_path / "mine", mine)
    assert not (tmp_path / "mine").exists()


def test_the_artifact_is_complete_and_can_be_moved(tmp_path: Path) -> None:
    save(tmp_path / "here", small_ranker("din"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert np.array_equal(load_ranker(tmp_path / "there")(ROWS).logits, small_ranker("din")(ROWS).logits)
