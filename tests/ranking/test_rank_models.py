"""Every rank model against a direct transcription of its paper's formula in float64, and its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from small_rank import small_batch, small_inputs
from torch.func import functional_call

from genrec.errors import ConfigError
from genrec.ranking.models.base import RankModel, rank_model_name, rank_models
from genrec.ranking.models.dcn import Dcn
from genrec.ranking.models.dcn_v2 import DcnV2
from genrec.ranking.models.deep import Deep
from genrec.ranking.models.deepfm import DeepFm
from genrec.ranking.models.din import Din
from genrec.ranking.models.fm import Fm
from genrec.ranking.models.lr import Lr
from genrec.ranking.models.mmoe import Mmoe
from genrec.ranking.models.ple import Ple
from genrec.ranking.models.wide_deep import WideDeep

Array = NDArray[np.float64]
Weights = dict[str, Array]

MODELS: dict[str, Callable[[], RankModel]] = {
    "lr": lambda: Lr(small_inputs()),
    "fm": lambda: Fm(small_inputs()),
    "deep": lambda: Deep(small_inputs(), hidden=(5, 4), activation="tanh"),
    "wide_deep": lambda: WideDeep(small_inputs(), hidden=(5, 4), activation="tanh"),
    "deepfm": lambda: DeepFm(small_inputs(), hidden=(5,), activation="tanh"),
    "dcn": lambda: Dcn(small_inputs(), layers=3, hidden=(5,), activation="tanh"),
    "dcn_v2": lambda: DcnV2(small_inputs(), layers=2, hidden=(5,), activation="tanh"),
    "dcn_v2 stacked": lambda: DcnV2(
        small_inputs(), layers=2, hidden=(5,), activation="tanh", structure="stacked"
    ),
    "dcn_v2 mixture": lambda: DcnV2(
        small_inputs(), layers=2, rank=2, experts=3, hidden=(5,), activation="tanh"
    ),
    "din": lambda: Din(small_inputs(), hidden=(5, 4), attention=(4, 3), activation="tanh"),
    "din dice": lambda: Din(small_inputs(), hidden=(5,), attention=(4,)),
    "din softmax": lambda: Din(small_inputs(), hidden=(5,), attention=(4,), activation="tanh", softmax=True),
    "mmoe": lambda: Mmoe(small_inputs(), experts=3, hidden=(5, 4), tower=(3,), activation="tanh"),
    "ple": lambda: Ple(
        small_inputs(), levels=2, own=2, shared=1, hidden=(5, 4), tower=(3,), activation="tanh"
    ),
}


def made(name: str) -> RankModel:
    """A model in float64 and eval mode, all of whose weights are away from zero."""
    model = MODELS[name]().double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum()


def dense(w: Weights, name: str, x: Array) -> Array:
    """W x + b, for one row."""
    out = w[f"{name}.weight"] @ x
    return out + w[f"{name}.bias"] if f"{name}.bias" in w else out


def dice(w: Weights, name: str, x: Array) -> Array:
    p = sigmoid((x - w[f"{name}.mean"]) / np.sqrt(w[f"{name}.variance"] + 1e-8))
    return p * x + (1 - p) * w[f"{name}.alpha"] * x


def bent(w: Weights, name: str, x: Array) -> Array:
    """Tanh, or Dice where the layer has its weights."""
    return dice(w, name, x) if f"{name}.alpha" in w else np.tanh(x)


def mlp(w: Weights, name: str, x: Array, hidden: int, out: bool = True) -> Array:
    """Linear layers 0, 2, 4, ... with activations 1, 3, ... between them."""
    for layer in range(hidden):
        x = bent(w, f"{name}.{2 * layer + 1}", dense(w, f"{name}.{2 * layer}", x))
    return dense(w, f"{name}.{2 * hidden}", x) if out else x


def pairs(v: Array) -> float:
    """Σ_{i<j} <v_i, v_j>, by its definition."""
    return float(sum(v[i] @ v[j] for i in range(len(v)) for j in range(i + 1, len(v))))


def cross_vectors(w: Weights, x0: Array) -> Array:
    x = x0
    for wl, bl in zip(w["cross.weight"], w["cross.bias"], strict=True):
        x = x0 * (x @ wl) + bl + x
    return x


def cross_matrices(w: Weights, x0: Array, layers: int) -> Array:
    x = x0
    for layer in range(layers):
        x = x0 * dense(w, f"cross.layers.{layer}", x) + x
    return x


def cross_mixture(w: Weights, x0: Array) -> Array:
    x = x0
    for layer in range(len(w["cross.u"])):
        gate = softmax(w["cross.gate"][layer].T @ x)
        total = np.zeros_like(x)
        for expert, share in enumerate(gate):
            u, v, c = (w[f"cross.{name}"][layer, expert] for name in "uvc")
            inner = np.tanh(c.T @ np.tanh(v.T @ x))
            total += share * x0 * (u.T @ inner + w["cross.bias"][layer])
        x = total + x
    return x


def attended(
    w: Weights, history: Array, mask: NDArray[np.bool_], target: Array, hidden: int, normalised: bool
) -> Array:
    total = np.zeros_like(target)
    weights = []
    for h in history[mask]:
        x = dense(w, "interest.first", np.concatenate([h, target, h - target, h * target]))
        x = bent(w, "interest.rest.0", x)
        for layer in range(hidden - 1):
            x = dense(w, f"interest.rest.{2 * layer + 1}", x)
            x = bent(w, f"interest.rest.{2 * layer + 2}", x)
        weights.append(float(dense(w, f"interest.rest.{2 * hidden - 1}", x)[0]))
    shares = softmax(np.array(weights)) if normalised and weights else np.array(weights)
    for share, h in zip(shares, history[mask], strict=True):
        total += share * h
    return total


def expert(w: Weights, name: str, number: int, x: Array, hidden: int) -> Array:
    for layer in range(hidden):
        x = np.tanh(w[f"{name}.weights.{layer}"][number].T @ x + w[f"{name}.biases.{layer}"][number, 0])
    return x


def gated(w: Weights, name: str, x: Array, outputs: list[Array]) -> Array:
    shares = softmax(w[f"{name}.choice.weight"] @ x)
    return np.asarray(sum(share * one for share, one in zip(shares, outputs, strict=True)))


def mmoe(w: Weights, x: Array) -> Array:
    experts = [expert(w, "shared", number, x, 2) for number in range(3)]
    mixed = [gated(w, f"gates.{task}", x, experts) for task in range(2)]
    return np.concatenate([mlp(w, f"towers.{task}", one, 1) for task, one in enumerate(mixed)])


def ple(w: Weights, x: Array) -> Array:
    paths, common = [x, x], x
    for level in range(2):
        at = f"extraction.{level}"
        own = [[expert(w, f"{at}.own.{t}", n, paths[t], 2) for n in range(2)] for t in range(2)]
        shared = [expert(w, f"{at}.shared", 0, common, 2)]
        mixed = [gated(w, f"{at}.gates.{t}", paths[t], own[t] + shared) for t in range(2)]
        if level == 0:
            common = gated(w, f"{at}.shared_gate", common, own[0] + own[1] + shared)
        paths = mixed
    return np.concatenate([mlp(w, f"towers.{task}", one, 1) for task, one in enumerate(paths)])


def joined(w: Weights, *parts: Array) -> float:
    return float(dense(w, "out", np.concatenate(parts))[0])


class Row(NamedTuple):
    """What one row gives a model: the weights, first-order logit, fields, and the history with its mask and target."""

    w: Weights
    first: float
    v: Array
    history: Array
    mask: NDArray[np.bool_]
    target: Array

    @property
    def x(self) -> Array:
        return self.v.reshape(-1)

    def deep(self, x: Array, hidden: int, out: bool = True) -> Array:
        return mlp(self.w, "deep", x, hidden, out)

    def din(self, attention: int, hidden: int, normalised: bool = False) -> float:
        interest = attended(self.w, self.history, self.mask, self.target, attention, normalised)
        others = np.delete(self.v, 3, axis=0).reshape(-1)  # without the pooled history
        return float(self.deep(np.append(interest, others), hidden)[0])


FORMULAS: dict[str, Callable[[Row], object]] = {
    "lr": lambda r: r.first,
    "fm": lambda r: r.first + pairs(r.v),
    "deep": lambda r: r.deep(r.x, 2)[0],
    "wide_deep": lambda r: r.first + r.deep(r.x, 2)[0],
    "deepfm": lambda r: r.first + pairs(r.v) + r.deep(r.x, 1)[0],
    "dcn": lambda r: joined(r.w, cross_vectors(r.w, r.x), r.deep(r.x, 1, out=False)),
    "dcn_v2": lambda r: joined(r.w, cross_matrices(r.w, r.x, 2), r.deep(r.x, 1, out=False)),
    "dcn_v2 stacked": lambda r: joined(r.w, r.deep(cross_matrices(r.w, r.x, 2), 1, out=False)),
    "dcn_v2 mixture": lambda r: joined(r.w, cross_mixture(r.w, r.x), r.deep(r.x, 1, out=False)),
    "din": lambda r: r.din(2, 2),
    "din dice": lambda r: r.din(1, 1),
    "din softmax": lambda r: r.din(1, 1, normalised=True),
    "mmoe": lambda r: mmoe(r.w, r.x),
    "ple": lambda r: ple(r.w, r.x),
}


def transcribed(name: str, model: RankModel) -> Array:
    """What the formula gives for the small batch, row by row."""
    batch = small_batch(dtype=torch.float64)
    w = {key: value.detach().numpy() for key, value in model.state_dict().items()}
    with torch.no_grad():
        read = model.inputs.linear(batch), model.inputs.fields(batch), *model.inputs.sequence(batch)
    columns = [one.numpy() for one in read]
    return np.array([FORMULAS[name](Row(w, *row)) for row in zip(*columns, strict=True)])


@pytest.mark.parametrize("name", MODELS)
def test_the_model_is_its_formula(name: str) -> None:
    model = made(name)
    with torch.no_grad():
        found = model(small_batch(dtype=torch.float64)).numpy()
    np.testing.assert_allclose(found, transcribed(name, model), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_the_function(name: str) -> None:
    model, batch = made(name), small_batch(rows=4, dtype=torch.float64)
    names, values = zip(*model.named_parameters(), strict=True)

    def outputs(*weights: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = functional_call(model, dict(zip(names, weights, strict=True)), (batch,))
        return found

    assert torch.autograd.gradcheck(outputs, values, fast_mode=True)


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_of_the_model_is_used(name: str) -> None:
    model = made(name)
    model(small_batch(rows=40, dtype=torch.float64)).square().sum().backward()
    linear = isinstance(model, Lr | Fm | WideDeep | DeepFm)
    unused = (
        ("inputs.vectors",)
        if isinstance(model, Lr)
        else ()
        if linear
        else ("inputs.first_order", "inputs.bias")
    )
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert [key for key in without if not key.startswith(unused or "-")] == []


def test_models_are_found_by_the_name_of_their_file() -> None:
    known = rank_models()
    assert list(known) == [
        "dcn", "dcn_v2", "deep", "deepfm", "din", "fm", "lr", "mmoe", "ple", "wide_deep",
    ]  # fmt: skip
    for name, model in ((name.partition(" ")[0], made(name)) for name in MODELS):
        assert rank_model_name(model) == name
        again = known[name](small_inputs(), **model.settings).double().eval()
        again.load_state_dict(model.state_dict())
        batch = small_batch(dtype=torch.float64)
        assert torch.equal(again(batch), model(batch))


def test_a_model_from_elsewhere_cannot_be_stored() -> None:
    class Mine(Lr):
        pass

    with pytest.raises(ConfigError, match=r"train\.network is Mine"):
        rank_model_name(Mine(small_inputs()))


def test_the_first_task_ranks() -> None:
    model, batch = made("mmoe"), small_batch(dtype=torch.float64)
    assert model.tasks == ("like", "rating")
    assert torch.equal(model.scores(batch), model(batch)[:, 0])
    single = made("lr")
    assert torch.equal(single.scores(batch), single(batch))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Deep(small_inputs(), hidden=(0,)), r"Deep\.hidden"),
        (lambda: DeepFm(small_inputs(), dropout=1.0), r"DeepFm\.dropout"),
        (lambda: WideDeep(small_inputs(), activation="swoosh"), r"WideDeep\.activation is 'swoosh'"),
        (lambda: Dcn(small_inputs(), layers=0), r"Dcn\.layers must be at least 1"),
        (lambda: DcnV2(small_inputs(), structure="diagonal"), r"DcnV2\.structure is 'diagonal'"),
        (lambda: DcnV2(small_inputs(), rank=0), r"DcnV2\.rank"),
        (lambda: Din(small_inputs(), attention=()), r"TargetAttention\.hidden"),
        (lambda: Mmoe(small_inputs(), tasks=("rating", "like")), r"Mmoe\.tasks .* 'like' first"),
        (lambda: Mmoe(small_inputs(), tasks=("like", "like")), r"Mmoe\.tasks must be distinct"),
        (lambda: Mmoe(small_inputs(), experts=0), r"Mmoe\.experts"),
        (lambda: Mmoe(small_inputs(), activation="dice"), r"Experts\.activation is 'dice'"),
        (lambda: Ple(small_inputs(), own=0), r"Ple\.own"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(make: Callable[[], RankModel], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()
