from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from genrec.errors import ConfigError
from genrec.training.runtime import Precision, Runtime


def test_one_seed_gives_the_same_numbers_everywhere() -> None:
    drawn = []
    for _ in range(2):
        Runtime(seed=7, cpu=True).seed_everything()
        legacy = np.random.rand(2).tolist()  # noqa: NPY002
        drawn.append((torch.rand(2).tolist(), legacy, random.random()))
    assert drawn[0] == drawn[1]
    Runtime(seed=8, cpu=True).seed_everything()
    assert torch.rand(2).tolist() != drawn[0][0]


def test_prepared_and_unwrapped_models_keep_their_names() -> None:
    runtime = Runtime(cpu=True)
    model = nn.Linear(2, 2)
    prepared, _ = runtime.prepare(model, torch.optim.SGD(model.parameters()))
    assert runtime.device == torch.device("cpu")
    assert runtime.is_main
    assert runtime.unwrap(prepared) is model


def test_processes_that_cannot_work_together_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor's built-in GPU, where each would train a model of its own."""
    alone = Runtime(cpu=True).accelerator
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("genrec.training.runtime.Accelerator", lambda **_: alone)
    with pytest.raises(ConfigError, match=r"2 processes were started.*Runtime\.cpu = True"):
        _ = Runtime().accelerator


@pytest.mark.parametrize(
    ("arguments", "name"),
    [({"seed": -1}, "seed"), ({"precision": "fp8"}, "precision"), ({"threads": 0}, "threads")],
)
def test_a_bad_argument_is_named(arguments: dict[str, object], name: str) -> None:
    with pytest.raises(ConfigError, match=f"Runtime.{name} is"):
        Runtime(cpu=True, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_precision_that_the_processor_lacks_is_refused(
    monkeypatch: pytest.MonkeyPatch, precision: Precision
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(ConfigError, match=f"Runtime.precision '{precision}'.*use 'no'"):
        Runtime(cpu=True, precision=precision)


def test_bf16_is_allowed_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert Runtime(cpu=True, precision="bf16").precision == "bf16"
