"""Tuning through the script: it goes on where it was killed, and what it finds can be trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from scripts_in_child import Outcome, Trouble, run
from tiny_world import make_world

SCRIPT = "experiments/tune_recall.py"
DATA = ("configs/data/custom.gin", "train.dataset_folder = 'data'")
HOME = Path("out/custom/tune-ease")


def tuned(folder: Path, *arguments: str, model: str = "ease", trouble: Trouble | None = None) -> Outcome:
    return run(SCRIPT, "--model", model, *DATA, *arguments, folder=folder, trouble=trouble)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def figures(path: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(path.read_text("utf-8"))
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EASE, tuned with four trials."""
    folder = make_world(tmp_path_factory.mktemp("world"))
    done = tuned(folder, "--trials", "4")
    assert done.code == 0, done.err
    assert "ease.Ease.l2 = " in done.out
    return folder


def test_the_first_trial_is_the_default_and_the_best_is_chosen(world: Path) -> None:
    rows, found = table(world / HOME), figures(world / HOME / "metrics.json")
    assert [row["state"] for row in rows] == ["done"] * 4
    assert (rows[0]["l2"], rows[0]["decay"]) == ("300.0", "1.0")
    scores = [float(row["objective"]) for row in rows]
    assert found["valid/ease/masked/ndcg@10"] == max(scores)
    assert found["valid/ease-default/masked/ndcg@10"] == scores[0] < max(scores)
    assert not [name for name in found if name.startswith("test/")]


def test_what_was_found_is_what_training_then_gets(world: Path) -> None:
    best = (HOME / "best.gin").as_posix()
    files = ("--model", "ease", DATA[0], best)
    done = run("experiments/train_recall.py", *files, DATA[1], "train.parts = ('valid',)", folder=world)
    assert done.code == 0, done.err
    trained = figures(world / "out/custom/recall-ease/metrics.json")
    chosen = figures(world / HOME / "metrics.json")
    assert trained["valid/ease/masked/ndcg@10"] == pytest.approx(chosen["valid/ease/masked/ndcg@10"])


def test_a_killed_search_ends_like_one_that_was_not(world: Path, fresh: Path) -> None:
    kills = 0
    for moment in (3, 4):
        done = tuned(fresh, "--trials", "4", trouble=Trouble(kill_at_write=moment))
        kills += done.killed
    assert kills == 2
    assert len(table(fresh / HOME)) < 4
    assert tuned(fresh, "--trials", "4").code == 0
    assert table(fresh / HOME) == table(world / HOME)


def test_more_trials_go_on_and_other_settings_do_not(fresh: Path) -> None:
    assert tuned(fresh, "--trials", "1").code == 0
    done = tuned(fresh, "--trials", "2")
    assert done.code == 0
    assert "trial 0" not in done.err
    refused = tuned(fresh, "train.seed = 1", "--trials", "3").refusal
    assert "holds trials of another configuration" in refused
    assert len(table(fresh / HOME)) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--trials", "0"), "Budget.trials must be at least 1"),
        (("--minutes", "-1"), "Budget.minutes must be above 0"),
        (("l2/space.LogUniform.high = 200.0",), "does not hold its default 300.0"),
        (("train.space = {'l4': @l2/space.LogUniform()}",), "l4 is not an argument of Ease"),
        (("train.space = {'l2': 5.0}",), "train.space"),
    ],
)
def test_tuning_refuses_in_one_sentence(fresh: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in tuned(fresh, *arguments).refusal
    assert not (fresh / HOME / "trials.csv").exists()


def test_an_unknown_model_is_refused_with_those_there_are(fresh: Path) -> None:
    refusal = tuned(fresh, model="magic").refusal
    assert "--model magic is unknown" in refusal
    assert "itemcf" in refusal
