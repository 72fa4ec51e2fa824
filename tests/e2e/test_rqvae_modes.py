"""What an RQ-VAE may be made of, by the script: running means, Sinkhorn balancing, a collaborative loss."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from scripts_in_child import Trouble, run
from tiny_world import make_world, payload, walks

TOKENIZER = Path("out/custom/tokenizer")
EVERYTHING = (
    "rqvae.gin",
    "configs/model/rqvae_ema.gin",
    "configs/model/rqvae_sinkhorn.gin",
    "configs/model/rqvae_collaborative.gin",
    "rqvae.RqVae.hidden = (32,)",
)


def trained(folder: Path, trouble: Trouble | None = None) -> dict[str, str]:
    outcome = run("train_rqvae.py", *EVERYTHING, folder=folder, trouble=trouble)
    if trouble is not None:
        assert outcome.killed
        return {}
    assert outcome.code == 0, outcome.err
    return payload(folder / TOKENIZER)


def with_last_events(events: pd.DataFrame, shift: int) -> pd.DataFrame:
    """The last two events of every user, validation and test, are of other items."""
    late = events["timestamp"] >= events["timestamp"].max() - 1
    return events.assign(item_id=events["item_id"].where(~late, (events["item_id"] + shift) % 40))


def test_a_killed_run_ends_with_the_same_weights_and_later_events_change_nothing(tmp_path: Path) -> None:
    whole, killed, later = (make_world(tmp_path / name) for name in ("whole", "killed", "later"))
    expected = trained(whole)
    trained(killed, Trouble(kill_at_step=24))  # after the checkpoint of step 21
    assert trained(killed) == expected
    with_last_events(walks(), 17).to_csv(later / "data/interactions.csv", index=False)
    assert trained(later) == expected


@pytest.mark.parametrize(
    ("bindings", "words"),
    [
        (
            ("train.tokenizer = @rqkmeans.RqKMeans", "train.vae_embed_dim = None"),
            ("train.collaborative", "RqKMeans"),
        ),
        (("rqvae.RqVae.alignment_weight = 0.0",), ("RqVae.alignment_weight", "train.collaborative")),
        (("train.collaborative = None",), ("RqVae.alignment_weight", "train.collaborative")),
        (
            (
                "import genrec.tokenizer.estimators as estimators",
                "rqvae.RqVae.estimator = @estimators.GumbelSoftmax()",
            ),
            ("RqVae.ema", "GumbelSoftmax"),
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    fresh: Path, bindings: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refusal = run("train_rqvae.py", *EVERYTHING, *bindings, folder=fresh).refusal
    assert all(word in refusal for word in words), refusal
    assert not (fresh / "out").exists()
