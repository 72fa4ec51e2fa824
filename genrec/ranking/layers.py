"""Layers that rank models share: an MLP, the factorisation machine's term, cross layers, target attention, experts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import ConfigError


class Dice(nn.Module):
    """PReLU whose bend follows the distribution of its input (Zhou et al. 2018, §5.3): p(s) s + (1 - p(s)) α s.

    p(s) is the sigmoid of s standardised over the batch, in eval mode with running means and variances.

    Args:
        width: of the input.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, s: Tensor) -> Tensor:
        """S [M, width] -> [M, width]; a single row is standardised by the running figures."""
        learning = self.training and len(s) > 1
        p = F.batch_norm(s, self.mean, self.variance, training=learning, eps=1e-8).sigmoid()
        return s * torch.addcmul(self.alpha, p, 1 - self.alpha)  # p + (1 - p) α


ACTIVATIONS: Mapping[str, Callable[[int], nn.Module]] = {
    "relu": lambda width: nn.ReLU(),
    "prelu": nn.PReLU,
    "dice": Dice,
    "gelu": lambda width: nn.GELU(),
    "sigmoid": lambda width: nn.Sigmoid(),
    "tanh": lambda width: nn.Tanh(),
}
"""Activations by name, made for a width."""


def check_layers(owner: str, hidden: Sequence[int], activation: str, dropout: float) -> None:
    """ConfigError, naming `owner`'s argument, unless these describe hidden layers."""
    if min(hidden, default=1) < 1:
        raise ConfigError(f"{owner}.hidden must be widths of at least 1, got {list(hidden)}")
    if activation not in ACTIVATIONS:
        raise ConfigError(
            f"{owner}.activation is {activation!r}; choose one of {', '.join(sorted(ACTIVATIONS))}"
        )
    if not 0 <= dropout < 1:
        raise ConfigError(f"{owner}.dropout must be in [0, 1), got {dropout}")


class Mlp(nn.Sequential):
    """Hidden layers, each followed by an activation and dropout, and a linear layer where an output is asked for.

    Args:
        width: of the input.
        hidden: widths of the hidden layers; none is allowed.
        out: width of the output layer; None ends with the last hidden layer.
        activation: one of `ACTIVATIONS`.
        dropout: after every activation.
        bias: whether the output layer has one.

    Attributes:
        width: of what comes out.
    """

    def __init__(
        self,
        width: int,
        hidden: Sequence[int],
        out: int | None = 1,
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        check_layers("Mlp", hidden, activation, dropout)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((width, *hidden)):
            layers += [nn.Linear(narrow, wide), ACTIVATIONS[activation](wide)]
            layers += [nn.Dropout(dropout)] if dropout else []
        inner = hidden[-1] if hidden else width
        layers += [] if out is None else [nn.Linear(inner, out, bias=bias)]
        super().__init__(*layers)
        self.width = inner if out is None else out


def pairwise_term(fields: Tensor) -> Tensor:
    """Σ_{i<j} <v_i, v_j> over the fields [B, F, D], in O(F D) (Rendle 2010, lemma 3.1): [B]."""
    return 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)


class VectorCross(nn.Module):
    """Cross layers with one vector each: x_{l+1} = x_0 (x_lᵀ w_l) + b_l + x_l (Wang et al. 2017, eq. 3).

    Args:
        width: d, of the input.
        layers: how many.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(layers, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(layers, width))

    def forward(self, x: Tensor) -> Tensor:
        """X [B, d] -> [B, d]."""
        x0 = x
        for w, b in zip(self.weight, self.bias, strict=True):
            x = torch.addcmul(x + b, x0, (x @ w)[:, None])
        return x


class MatrixCross(nn.Module):
    """Cross layers with a matrix each: x_{l+1} = x_0 ∘ (W_l x_l + b_l) + x_l (Wang et al. 2021, eq. 1).

    Args:
        width: d, of the input.
        layers: how many.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """X [B, d] -> [B, d]."""
        x0 = x
        for layer in self.layers:
            x = torch.addcmul(x, x0, layer(x))
        return x


class MixtureCross(nn.Module):
    """Cross layers of low rank, several of them gated (Wang et al. 2021, eq. 5 and 6).

    x_{l+1} = Σ_i G_i(x_l) x_0 ∘ (U_i tanh(C_i tanh(V_iᵀ x_l)) + b_l) + x_l, with a softmax for the gate G.

    Args:
        width: d, of the input.
        layers: how many.
        rank: r, of each expert.
        experts: E.
    """

    def __init__(self, width: int, layers: int, rank: int, experts: int) -> None:
        super().__init__()
        self.v = nn.Parameter(torch.randn(layers, experts, width, rank) * width**-0.5)
        self.c = nn.Parameter(torch.randn(layers, experts, rank, rank) * rank**-0.5)
        self.u = nn.Parameter(torch.randn(layers, experts, rank, width) * rank**-0.5)
        self.bias = nn.Parameter(torch.zeros(layers, width))
        self.gate = nn.Parameter(torch.zeros(layers, width, experts))

    def forward(self, x: Tensor) -> Tensor:
        """X [B, d] -> [B, d]."""
        x0 = x
        for v, c, u, b, gate in zip(self.v, self.c, self.u, self.bias, self.gate, strict=True):
            inner = torch.matmul(torch.matmul(x, v).tanh(), c).tanh()  # [E, B, r]
            share = (x @ gate).softmax(1)  # [B, E]
            mixed = (inner * share.T[..., None]).transpose(0, 1).flatten(1) @ u.flatten(0, 1)  # [B, d]
            x = torch.addcmul(x, x0, mixed + b)  # the shares add up to 1, so b needs none
        return x


class TargetAttention(nn.Module):
    """How much each item of a history matters for a target: DIN's activation unit (Zhou et al. 2018, §4.3).

    A small network reads the history item h, the target t, their difference h - t and their product h ∘ t. Its outputs
    are the weights of a sum; they are not normalised, so that the sum keeps how strong an interest is.

    Args:
        width: D, of the vectors.
        hidden: of the network, at least one layer.
        activation: one of `ACTIVATIONS`.
        softmax: normalise the weights over the history after all.
    """

    def __init__(
        self, width: int, hidden: Sequence[int], activation: str = "dice", softmax: bool = False
    ) -> None:
        super().__init__()
        if not hidden:
            raise ConfigError("TargetAttention.hidden must have at least one layer, got none")
        check_layers("TargetAttention", hidden, activation, 0.0)
        self.softmax = softmax
        self.first = nn.Linear(4 * width, hidden[0])  # of (h, t, h - t, h ∘ t)
        self.rest = nn.Sequential(
            ACTIVATIONS[activation](hidden[0]), *Mlp(hidden[0], hidden[1:], activation=activation)
        )

    def forward(self, history: Tensor, mask: Tensor, target: Tensor) -> Tensor:
        """History [B, T, D], its mask bool [B, T], target [B, D] -> [B, D]; zero where a history is empty."""
        x = self._first(history, target).flatten(0, 1)  # [B T, H]
        real = mask.flatten().nonzero().squeeze(1)  # [M]: padding does not enter Dice's statistics
        if len(real) < len(x):
            x = x.index_select(0, real)
        flat = x.new_zeros(mask.numel()).index_put((real,), self.rest(x).squeeze(1))
        weights = flat.view(mask.shape)
        if self.softmax:
            weights = weights.masked_fill(~mask, float("-inf")).softmax(1).masked_fill(~mask, 0.0)
        return torch.bmm(weights[:, None], history).squeeze(1)

    def _first(self, history: Tensor, target: Tensor) -> Tensor:
        """The first layer of (h, t, h - t, h ∘ t) [B, T, H] without building that: every target gets its own layer."""
        of_h, of_t, of_difference, of_product = self.first.weight.chunk(4, dim=1)  # [H, D] each
        once = F.linear(target, of_t - of_difference, self.first.bias)  # [B, H]
        own = of_h + of_difference + of_product * target[:, None]  # [B, H, D]
        return torch.baddbmm(once[:, None], history, own.transpose(1, 2))


class Experts(nn.Module):
    """MLPs of one shape side by side, computed at once.

    Args:
        n: E, how many.
        width: of the input.
        hidden: widths of their layers, at least one.
        activation: one of `ACTIVATIONS`, without parameters of its own.
        dropout: after every activation.
    """

    def __init__(
        self, n: int, width: int, hidden: Sequence[int], activation: str = "relu", dropout: float = 0.0
    ) -> None:
        super().__init__()
        check_layers("Experts", hidden, activation, dropout)
        if n < 1 or not hidden:
            raise ConfigError(f"Experts needs at least one expert of one layer, got {n} of {list(hidden)}")
        self.activation = ACTIVATIONS[activation](1)
        if list(self.activation.parameters()):
            raise ConfigError(
                f"Experts.activation is {activation!r}, which has parameters; choose 'relu' or 'gelu'"
            )
        self.dropout = nn.Dropout(dropout)
        sizes = list(pairwise((width, *hidden)))
        self.weights = nn.ParameterList(torch.empty(n, a, b).uniform_(-(a**-0.5), a**-0.5) for a, b in sizes)
        self.biases = nn.ParameterList(torch.empty(n, 1, b).uniform_(-(a**-0.5), a**-0.5) for a, b in sizes)
        self.width = hidden[-1]

    def forward(self, x: Tensor) -> Tensor:
        """X [B, d] -> [E, B, H]."""
        x = x.expand(len(self.weights[0]), -1, -1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            x = self.dropout(self.activation(torch.baddbmm(bias, x, weight)))
        return x


class Gate(nn.Module):
    """Mixes experts by a softmax over them (Ma et al. 2018, eq. 7).

    Args:
        width: of what decides.
        experts: E.
    """

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.choice = nn.Linear(width, experts, bias=False)

    def forward(self, x: Tensor, outputs: Tensor) -> Tensor:
        """X [B, d] decides on outputs [E, B, H] -> [B, H]."""
        return torch.einsum("be,ebh->bh", self.choice(x).softmax(1), outputs)
