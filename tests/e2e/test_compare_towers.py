"""The comparison of two towers by how rare targets are, on a world where neighbours share a genre."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from scripts_in_child import run
from tiny_world import N_ITEMS, N_USERS

SCRIPT = "experiments/compare_towers.py"
SMALL = (
    "configs/data/custom.gin",
    "configs/model/towers.gin",
    "compare_towers.dataset_folder = 'data'",
    "compare_towers.ks = (5, 10)",
    "two_tower.TwoTower.hidden = ()",
    "two_tower.TwoTower.width = 8",
    "neural.Training.epochs = 3",
    "runtime.Runtime.threads = 1",
)


def test_towers_are_compared_on_every_kind_of_target(fresh: Path) -> None:
    """An item is left with one training event, and two users' last events are on it."""
    events = pd.read_csv(fresh / "data/interactions.csv")
    rare = N_ITEMS - 1
    events = events[events["item_id"] != rare]
    last = events.groupby("user_id")["timestamp"].transform("max") == events["timestamp"]
    events.loc[last & events["user_id"].isin([3, 4]), "item_id"] = rare
    events.loc[(events["user_id"] == 5) & (events["timestamp"] == 2), "item_id"] = rare
    events.to_csv(fresh / "data/interactions.csv", index=False)
    done = run(SCRIPT, *SMALL, folder=fresh)
    assert done.code == 0, done.err
    assert "test, history masked, compared with dssm" in done.out
    assert "rare (1–9 events): " in done.out
    found = json.loads((fresh / "out/custom/towers/metrics.json").read_text("utf-8"))
    counts = {
        name: found.get(f"test/dssm/masked/{name}/targets", 0) for name in ("all", "cold", "rare", "known")
    }
    assert counts["all"] == N_USERS == counts["cold"] + counts["rare"] + counts["known"]
    assert counts["rare"] >= 2
    where = "test/two_tower/masked/rare/recall@10"
    difference = found[f"{where}/minus_dssm"]
    assert difference == pytest.approx(found[where] - found["test/dssm/masked/rare/recall@10"])
    assert found[f"{where}/minus_dssm/low"] <= difference <= found[f"{where}/minus_dssm/high"]
    assert found["test/two_tower/masked/all/recall@10"] == found["test/two_tower/masked/recall@10"]
    assert "informed/two_tower.TwoTower" in (fresh / "out/custom/towers/config.gin").read_text("utf-8")


def test_one_recaller_is_not_a_comparison(fresh: Path) -> None:
    done = run(SCRIPT, *SMALL, "compare_towers.recallers = {'dssm': @two_tower.TwoTower()}", folder=fresh)
    assert done.code == 2
    assert "compare_towers.recallers must be at least two" in done.err
