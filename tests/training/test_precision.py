"""Mixed precision, as far as a processor without a GPU shows it: bf16, and the scaler that fp16 needs; compilation."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState
from accelerate.utils import DynamoBackend
from safetensors.torch import load_file
from small_job import SETTINGS, SmallTask
from torch import Tensor

from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import run
from genrec.training.runtime import Precision, Runtime
from genrec.training.trackers import Trackers

SHORT = dataclasses.replace(SETTINGS, steps=6, checkpoint_every=2, monitor=None, patience=None)


@pytest.fixture(autouse=True)
def _own_state(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """accelerate keeps the precision of a process's first run."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


class Watched(SmallTask):
    """Remembers the types of what it saw, and can make one gradient overflow."""

    def __init__(self, overflow_at: int | None = None) -> None:
        super().__init__()
        self.losses: list[Tensor] = []
        self.inside: set[torch.dtype] = set()
        self.model[0].register_forward_hook(lambda *seen: self.inside.add(seen[2].dtype))  # type: ignore[index]
        self.overflow_at = overflow_at

    def loss(self, step: int) -> dict[str, Tensor]:
        losses = super().loss(step)
        if step == self.overflow_at:
            losses["loss"] = losses["loss"] + 1e38 * self.model[0].weight.sum()  # type: ignore[index]
        self.losses.append(losses["loss"])
        return losses

    def after_step(self, step: int) -> None:
        """Nothing random."""


def trained(
    folder: Path, precision: Precision, task: Watched, scaler: bool = False, compile: bool = False
) -> Runtime:
    runtime = Runtime(seed=3, cpu=True, precision=precision, compile=compile)
    runtime.seed_everything()
    if scaler:
        runtime.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=3)
    optimizer = torch.optim.AdamW(task.model.parameters())
    run(
        task,
        optimizer,
        SHORT,
        runtime=runtime,
        checkpoints=Checkpoints(folder),
        trackers=Trackers(),
        progress_bar=False,
    )
    return runtime


def test_bf16_computes_in_bf16_and_keeps_losses_and_weights_in_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    half = Watched()
    torch.manual_seed(0)
    full = Watched()
    trained(tmp_path / "half", "bf16", half)
    AcceleratorState._reset_state()
    trained(tmp_path / "full", "no", full)
    assert (half.inside, full.inside) == ({torch.bfloat16}, {torch.float32})
    assert {loss.dtype for loss in half.losses} == {torch.float32}
    assert {w.dtype for w in half.model.state_dict().values() if w.is_floating_point()} == {torch.float32}
    for found, expected in zip(half.losses, full.losses, strict=True):
        assert found.item() == pytest.approx(expected.item(), rel=0.05)


def test_a_gradient_that_overflows_is_left_out_and_the_scaler_is_in_the_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = Watched(overflow_at=1)
    runtime = trained(tmp_path, "no", task, scaler=True)
    assert all(torch.isfinite(w).all() for w in task.model.parameters())
    progress = Checkpoints(tmp_path).progress("last")
    assert progress is not None
    assert progress["scaler"] == runtime.accelerator.scaler.state_dict()
    assert progress["scaler"]["scale"] == 4.0, "halved by the overflow, doubled after three good steps"
    AcceleratorState._reset_state()
    again = trained(tmp_path, "no", Watched(), scaler=True)  # finds its work done
    assert again.accelerator.scaler.state_dict() == progress["scaler"]


def test_a_compiled_model_has_the_checkpoints_of_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager = SimpleNamespace(INDUCTOR=DynamoBackend.EAGER, NO=DynamoBackend.NO)  # traces, but builds no C++
    monkeypatch.setattr("genrec.training.runtime.DynamoBackend", eager)
    torch.manual_seed(0)
    task = Watched()
    runtime = trained(tmp_path / "compiled", "no", task, compile=True)
    assert task.model is not runtime.unwrap(task.model), "it is compiled"
    AcceleratorState._reset_state()
    torch.manual_seed(0)
    trained(tmp_path / "plain", "no", Watched())
    compiled, plain = (load_file(tmp_path / name / "last.safetensors") for name in ("compiled", "plain"))
    assert compiled.keys() == plain.keys()
    for name, weights in plain.items():
        torch.testing.assert_close(compiled[name], weights)
