"""Scripts that are killed by SIGKILL, again and again, end with the bytes of one that was not."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from scripts_in_child import Outcome, Trouble, run
from tiny_world import payload, tree

from genrec.data.load import load_dataset
from genrec.tokenizer.store import load_ids

TOKENIZER, DECODER = "out/custom/tokenizer", "out/custom/decoder"
STAGES = [("train_rqvae.py", "rqvae.gin", TOKENIZER), ("train_decoder.py", "decoder.gin", DECODER)]


def until_it_ends(script: str, leaf: str, folder: Path, troubles: list[Trouble]) -> int:
    """Run with one trouble after the other, then without; how often it was killed."""
    for kills, trouble in enumerate([*troubles, None]):
        outcome: Outcome = run(script, leaf, folder=folder, trouble=trouble)
        if not outcome.killed:
            assert outcome.code == 0, outcome.err
            return kills
    raise AssertionError("a run without trouble was killed")


def leftovers(folder: Path) -> list[str]:
    """Half-written files: temporary names begin with a dot."""
    return [name for name in tree(folder) if Path(name).name.startswith(".")]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("script", "leaf", "stage"), STAGES)
def test_killed_at_random_steps(
    trained: Path, trained_world: Path, script: str, leaf: str, stage: str, seed: int
) -> None:
    moments = random.Random(seed)
    (trained / stage).rename(trained / "elsewhere")
    troubles = [Trouble(kill_at_step=moments.randrange(1, 16)) for _ in range(3)]
    assert until_it_ends(script, leaf, trained, troubles) > 0
    assert payload(trained / stage) == payload(trained_world / stage)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("script", "leaf", "stage"), STAGES)
def test_killed_while_writing(
    trained: Path, trained_world: Path, script: str, leaf: str, stage: str, seed: int
) -> None:
    moments = random.Random(seed)
    (trained / stage).rename(trained / "elsewhere")
    troubles = [Trouble(kill_at_write=moments.randrange(2, 40)) for _ in range(3)]
    assert until_it_ends(script, leaf, trained, troubles) > 0
    assert payload(trained / stage) == payload(trained_world / stage)
    assert leftovers(trained / stage) == []


def codes(folder: Path) -> bytes:
    stored = load_ids(folder / TOKENIZER, load_dataset("custom", folder / "data").items)
    return stored.ids.codes.tobytes()


def test_a_tokenizer_killed_while_it_is_replaced_is_the_old_or_the_new(fresh: Path) -> None:
    leaf, out = ("train_rqvae.py", "kmeans.gin"), fresh / "out"
    assert run(*leaf, folder=fresh).code == 0
    old = codes(fresh)
    shutil.copytree(out, fresh / "old")
    seen, moment, killed = [], 0, True
    while killed:
        trouble = Trouble(kill_at_write=moment)
        killed = run(*leaf, "rqkmeans.RqKMeans.seed = 5", folder=fresh, trouble=trouble).killed
        seen.append(codes(fresh))
        shutil.rmtree(out)
        shutil.copytree(fresh / "old", out)
        moment += 6
    assert set(seen) == {old, seen[-1]}
    assert seen == sorted(seen, key=lambda one: one != old), "the new one never turns into the old one again"
    assert len(seen) > 4
