from __future__ import annotations

import errno
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from genrec.errors import ArtifactError
from genrec.training.checkpoint import (
    Checkpoints,
    _decode,
    _encode,
    random_state,
    random_untouched,
    set_random_state,
)


def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def draw() -> tuple[object, ...]:
    """Something of every generator."""
    return torch.rand(3), np.random.rand(3), random.random()  # noqa: NPY002 - the legacy one is what is tested


def stepped(net: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        net(torch.randn(5, 3)).square().sum().backward()
        optimizer.step()


def same(a: Any, b: Any) -> bool:
    """Equal to the bit and of the same types, through containers."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.AdamW(p, lr=0.1 + 0.2, betas=(0.8, 0.9), amsgrad=True),
        lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9),
        lambda p: torch.optim.Adagrad(p, lr=torch.tensor(0.3)),
    ],
    ids=["adamw", "sgd", "adagrad"],
)
def test_model_and_optimizer_come_back_to_the_bit(tmp_path: Path, make: Any) -> None:
    net = model()
    optimizer = make(net.parameters())
    stepped(net, optimizer)
    Checkpoints(tmp_path).save("last", model=net, optimizer=optimizer, progress={"step": 3, "loss": 0.1})
    other = model()
    fresh = make(other.parameters())
    assert Checkpoints(tmp_path).load("last", model=other, optimizer=fresh) == {"step": 3, "loss": 0.1}
    assert same(dict(net.state_dict()), dict(other.state_dict()))
    assert same(optimizer.state_dict(), fresh.state_dict())


def test_generators_come_back_with_the_optimizer_only(tmp_path: Path) -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters())
    Checkpoints(tmp_path).save("last", model=net, optimizer=optimizer, progress={})
    expected = draw()
    Checkpoints(tmp_path).load("last", model=net)
    assert not same(draw(), expected)
    Checkpoints(tmp_path).load("last", model=net, optimizer=optimizer)
    assert same(draw(), expected)


def test_random_untouched_hides_what_is_drawn_even_when_it_fails() -> None:
    state = random_state()
    expected = draw()
    set_random_state(state)

    def failing() -> None:
        with random_untouched():
            draw()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert same(draw(), expected)


def test_tied_weights_and_small_types_are_kept(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight
            self.register_buffer("small", torch.tensor([1.5, -2.0], dtype=torch.bfloat16))
            self.register_buffer("count", torch.tensor(7))

    net, other = Tied(), Tied()
    Checkpoints(tmp_path).save("best", model=net, optimizer=None, progress={})
    Checkpoints(tmp_path).load("best", model=other)
    assert same(dict(net.state_dict()), dict(other.state_dict()))
    assert other.a.weight is other.b.weight


def test_without_a_checkpoint_nothing_is_loaded(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none").load("last", model=model()) is None
    assert Checkpoints(tmp_path / "none").progress("last") is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "foreign", "headless"])
def test_a_damaged_file_is_refused_with_one_sentence(tmp_path: Path, damage: str) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("last", model=model(), optimizer=None, progress={"step": 1})
    path = checkpoints.path("last")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-1] ^= 1
    damaged = {"truncated": content[:-10], "flipped": content, "empty": b"", "foreign": b"x" * 99}
    path.write_bytes(bytes(damaged.get(damage, b"\x02\0\0\0\0\0\0\0{}")))
    with pytest.raises(ArtifactError, match=r"last\.safetensors is (damaged|not a checkpoint).*remove it"):
        checkpoints.load("last", model=model())


def test_a_checkpoint_of_another_model_or_optimizer_is_refused(tmp_path: Path) -> None:
    net = model()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("last", model=net, optimizer=torch.optim.SGD(net.parameters()), progress={})
    with pytest.raises(ArtifactError, match="does not fit"):
        checkpoints.load("last", model=nn.Linear(3, 4))
    two_groups = [{"params": list(net.parameters())[:1]}, {"params": list(net.parameters())[1:]}]
    with pytest.raises(ArtifactError, match="does not fit"):
        checkpoints.load("last", model=net, optimizer=torch.optim.SGD(two_groups))
    checkpoints.save("best", model=net, optimizer=None, progress={})
    with pytest.raises(ArtifactError, match="does not fit"):
        checkpoints.load("best", model=net, optimizer=torch.optim.SGD(net.parameters()))


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save("last", model=model(), optimizer=None, progress={"step": 1})

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ArtifactError, match="No space left"):
        checkpoints.save("last", model=model(), optimizer=None, progress={"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
    assert checkpoints.progress("last") == {"step": 1}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
        | st.integers(0, 4).map(lambda n: torch.arange(n, dtype=torch.float64) / 3)
    ),
    max_leaves=8,
)


@given(values)
def test_any_state_survives_the_json(value: Any) -> None:
    tensors: dict[str, torch.Tensor] = {}
    text = json.dumps(_encode(value, "", tensors))
    assert same(_decode(json.loads(text), tensors), value)
