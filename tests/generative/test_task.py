from __future__ import annotations

import numpy as np
import pytest
import torch

from genrec.data.histories import Histories
from genrec.generative.base import Window
from genrec.generative.batches import BatchPlan
from genrec.generative.task import GenerativeTask
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree


def test_a_step_is_the_loss_of_its_batch_and_validation_is_the_judges() -> None:
    tree = CodeTree.of(np.arange(9)[:, None], (9,))
    model = Timeline(tree, embed_dim=8, width=8, heads=2, layers=1, max_length=6, dropout=0.0)
    histories = Histories(np.array([0, 4, 9]), np.arange(9, dtype=np.int32), 9)
    plan = BatchPlan(histories, max_length=6, tokens=7, rows=4, seed=0)
    task = GenerativeTask(model, plan, lambda: {"ndcg@10": 0.5})
    assert task.model is model
    for step in range(3):
        assert torch.equal(task.loss(step)["loss"], model(*plan.batch(step))["loss"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task.after_step(0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert task.validate() == {"ndcg@10": 0.5}


def test_the_parts_of_all_processes_add_up_to_the_whole_batch() -> None:
    tree = CodeTree.of(np.arange(9)[:, None], (9,))
    model = Timeline(tree, embed_dim=8, width=8, heads=2, layers=1, max_length=6, dropout=0.0)
    histories = Histories(np.array([0, 4, 9, 11]), np.arange(11, dtype=np.int32) % 9, 9)
    plan = BatchPlan(histories, max_length=6, tokens=15, rows=4, seed=0)
    parts = [GenerativeTask(model, plan, dict, rank=rank, size=5) for rank in range(5)]
    for step in range(plan.steps_per_epoch):
        whole = GenerativeTask(model, plan, dict).loss(step)
        sums = {name: sum(part.loss(step)[name] for part in parts) for name in whole}
        for name, value in whole.items():
            torch.testing.assert_close(sums[name], value)
        for total, losses in ((whole["loss"], "whole"), (sums["loss"], "parts")):
            model.zero_grad()
            total.backward()  # type: ignore[union-attr]
            gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
            if losses == "whole":
                expected = gradients
        assert gradients.keys() == expected.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[name], atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("negatives", [None, 4])
def test_in_mixed_precision_losses_are_float32_and_near(negatives: int | None) -> None:
    tree = CodeTree.of(np.stack(np.unravel_index(np.arange(9), (3, 3)), axis=1), (3, 3))
    torch.manual_seed(0)
    model = Timeline(tree, embed_dim=8, width=8, heads=2, dropout=0.0, inputs=("ids",), negatives=negatives)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    items = torch.randint(9, (20, 6), generator=torch.Generator().manual_seed(0))
    batch = Window(items, torch.arange(20)), torch.zeros(20, dtype=torch.int64)
    torch.manual_seed(1)
    full = model(*batch)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(*batch)
    mixed["loss"].backward()
    assert {loss.dtype for loss in mixed.values()} == {torch.float32}
    assert not torch.equal(mixed["loss"], full["loss"])
    for name, expected in full.items():
        assert mixed[name].item() == pytest.approx(expected.item(), rel=0.03)
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}
