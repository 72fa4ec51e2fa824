"""Averaged weights: their arithmetic, and their place in the loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_job import SETTINGS, SmallTask, train
from torch import nn

from genrec.errors import ConfigError
from genrec.training.checkpoint import Checkpoints
from genrec.training.ema import Ema
from genrec.training.recipe import Recipe

AVERAGED = dataclasses.replace(SETTINGS, ema=0.6, patience=None)


def test_the_average_forgets_slowly_and_its_start_fast() -> None:
    model = nn.Linear(1, 1, bias=False)
    ema = Ema(model, 0.2)
    expected = float(model.weight.detach())
    for step in range(5):
        with torch.no_grad():
            model.weight.fill_(float(step**2))
        ema.update(step)
        decay = min(0.2, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step**2
    assert [a.item() for a in ema.averages] == pytest.approx([expected])
    assert (1 + 1) / (10 + 1) < 0.2 < (1 + 2) / (10 + 2), "both the warm-up and the decay should be tested"


def test_exchanging_twice_changes_nothing_and_buffers_stay_the_models() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    model[2].weight = nn.Parameter(model[0].weight.detach().T.contiguous())
    ema = Ema(model, 0.9)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        for weight in model.parameters():
            weight += 1.0
    model(torch.randn(8, 2))  # moves the buffers
    second = {name: value.clone() for name, value in model.state_dict().items()}
    parameters = dict(model.named_parameters())
    ema.exchange()
    for name, value in model.state_dict().items():
        assert torch.equal(value, first[name] if name in parameters else second[name])
    ema.exchange()
    assert all(torch.equal(value, second[name]) for name, value in model.state_dict().items())
    assert not torch.equal(second["1.running_mean"], first["1.running_mean"])


def test_tied_weights_are_averaged_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    ema = Ema(model, 0.9)
    assert len(ema.averages) == 1
    with torch.no_grad():
        model[0].weight.zero_()
    ema.exchange()
    assert model[1].weight is model[0].weight
    assert model[0].weight.abs().sum() > 0


def test_averages_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match="of another model"):
        Ema(nn.Linear(2, 2), 0.9).load([torch.zeros(2, 2)])


def test_averaged_weights_are_validated_kept_and_returned(tmp_path: Path) -> None:
    class Watching(SmallTask):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[torch.Tensor] = []

        def validate(self) -> dict[str, float]:
            self.seen.append(self.model[0].weight.detach().clone())  # type: ignore[index]
            return {"fit": float(len(self.seen) == 2)}

    task = Watching()
    train(tmp_path, task, AVERAGED)
    best = load_file(tmp_path / "best.safetensors")
    last = load_file(tmp_path / "last.safetensors")
    assert torch.equal(best["model/0.weight"], task.seen[1])
    assert torch.equal(task.model[0].weight, task.seen[1])  # type: ignore[index]
    assert not torch.equal(last["model/0.weight"], task.seen[-1]), "training goes on from its own weights"


def test_without_a_monitor_the_averages_of_the_end_are_returned(tmp_path: Path) -> None:
    task, again = SmallTask(), SmallTask()
    train(tmp_path, task, dataclasses.replace(AVERAGED, monitor=None))
    train(tmp_path, again, dataclasses.replace(AVERAGED, monitor=None))  # finds its work done
    ema = Ema(again.model, 0.6)
    progress = Checkpoints(tmp_path).load("last", model=again.model, ema=ema)
    assert progress is not None
    averages = dict(zip(dict(task.model.named_parameters()), ema.averages, strict=True))
    assert all(torch.equal(w, averages[name]) for name, w in task.model.named_parameters())
    weights = dict(again.model.named_parameters())
    assert not torch.equal(weights["0.weight"], averages["0.weight"])


@pytest.mark.parametrize("ema", [1.0, -0.1, 2.0])
def test_a_bad_decay_is_named(ema: float) -> None:
    with pytest.raises(ConfigError, match=r"Recipe\.ema"):
        Recipe(ema=ema)
    with pytest.raises(ConfigError, match=r"LoopSettings\.ema"):
        dataclasses.replace(SETTINGS, ema=ema)
