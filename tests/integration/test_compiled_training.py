"""Timeline trains under `Runtime.compile` as it does without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from genrec.data.histories import Histories
from genrec.generative.batches import BatchPlan
from genrec.generative.task import GenerativeTask
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.training.runtime import Runtime

N = 40


@pytest.fixture(autouse=True)
def traced_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced as for compilation, but not translated into machine code, which takes minutes."""
    whole: Callable[..., Any] = torch.compile
    monkeypatch.setattr(torch, "compile", lambda model, **_: whole(model, backend="eager"))


def weights_after(steps: int, compile: bool) -> dict[str, Tensor]:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    tree = CodeTree.of(np.stack(np.unravel_index(rng.permutation(64)[:N], (8, 8)), axis=1), (8, 8))
    model = Timeline(tree, embed_dim=8, width=8, heads=2, layers=1, max_length=6, dropout=0.0)
    lengths = rng.integers(1, 12, 30)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    histories = Histories(offsets, rng.integers(0, N, offsets[-1]).astype(np.int32), N)
    plan = BatchPlan(histories, max_length=6, tokens=40, rows=8, seed=0)
    task = GenerativeTask(model, plan, dict)
    AcceleratorState._reset_state()  # a process has one way of compiling, and this one is to have two
    runtime = Runtime(compile=compile, cpu=True)
    task.model, optimizer = runtime.prepare(model, torch.optim.SGD(model.parameters(), lr=0.5))
    assert (task.model is not model) == compile
    for step in range(steps):
        optimizer.zero_grad()
        task.loss(step)["loss"].backward()
        optimizer.step()
    AcceleratorState._reset_state()
    plain = runtime.unwrap(task.model)
    assert plain is model
    return {name: tensor.detach() for name, tensor in plain.state_dict().items()}


def test_compiled_training_gives_the_same_weights() -> None:
    expected, found = (weights_after(3, compile) for compile in (False, True))
    start = weights_after(0, compile=False)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)
    assert any((expected[name] - start[name]).abs().max() > 0.01 for name in expected)
