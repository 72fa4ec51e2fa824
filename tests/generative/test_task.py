from __future__ import annotations

import numpy as np
import torch

from genrec.data.histories import Histories
from genrec.generative.batches import BatchPlan
from genrec.generative.task import TimelineTask
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree


def test_a_step_is_the_loss_of_its_batch_and_validation_is_the_judges() -> None:
    tree = CodeTree.of(np.arange(9)[:, None], (9,))
    model = Timeline(tree, embed_dim=8, width=8, heads=2, layers=1, max_length=6, dropout=0.0)
    histories = Histories(np.array([0, 4, 9]), np.arange(9, dtype=np.int32), 9)
    plan = BatchPlan(histories, max_length=6, tokens=7, rows=4, seed=0)
    task = TimelineTask(model, plan, lambda: {"ndcg@10": 0.5})
    assert task.model is model
    for step in range(3):
        assert torch.equal(task.loss(step)["loss"], model(*plan.batch(step))["loss"])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    task.after_step(0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert task.validate() == {"ndcg@10": 0.5}
