"""`torch-rechub`: its models on genrec's weights, and how far what they say is apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch_rechub.models.multi_task import MMOE, PLE
from torch_rechub.models.ranking import DCN, DCNv2, WideDeep

from genrec.ranking.fields import Batch
from genrec.ranking.layers import Experts, Mlp
from genrec.ranking.models.base import RankModel
from genrec.ranking.models.dcn import Dcn
from genrec.ranking.models.dcn_v2 import DcnV2
from genrec.ranking.models.deepfm import DeepFm
from genrec.ranking.models.din import Din
from genrec.ranking.models.mmoe import Mmoe
from genrec.ranking.models.ple import Ple
from genrec.ranking.models.wide_deep import WideDeep as OwnWideDeep
from rivals.rank_contest import (
    ATTENTION,
    HIDDEN,
    RankWorld,
    copied,
    largest_difference,
    without_batch_norm,
)
from rivals.rank_own import layer
from rivals.rechub_rank import IDS, PAD, deepfm, din, features, params


def parity(world: RankWorld) -> dict[str, float]:
    """Its model -> largest difference from genrec's on the same weights, in probabilities; its masks are float32."""
    batch = world.batches[0][0]
    found = {}
    for name, compare in PARITY.items():
        ours, theirs = compare(world)
        found[name] = largest_difference(ours.eval(), theirs.eval(), batch)
    return found


def tables(ours: RankModel, theirs: Any) -> list[tuple[Tensor, Tensor]]:
    """Embeddings that are read by both, made large enough to matter."""
    pairs = []
    for name in (*IDS, "genres"):
        own: Any = ours.inputs.vectors.tables[f"of_{name}"]
        nn.init.normal_(own.weight, std=0.3)
        pairs.append((own.weight, theirs.embedding.embed_dict[name].weight))
    return pairs


def linears(ours: nn.Module, theirs: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of the linear layers of two MLPs, in order; an output bias that ours lacks is 0."""
    mine, others = ([m for m in net.modules() if isinstance(m, nn.Linear)] for net in (ours, theirs))
    found = []
    for one, other in zip(mine, others, strict=True):
        found.append((one.weight, other.weight))
        found.append((torch.zeros_like(other.bias) if one.bias is None else one.bias, other.bias))
    return found


def expert(ours: Experts, number: int, theirs: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """One expert of ours as one MLP of theirs."""
    layers = [m for m in theirs.modules() if isinstance(m, nn.Linear)]
    pairs = []
    for weight, bias, other in zip(ours.weights, ours.biases, layers, strict=True):
        pairs += [(weight[number].T, other.weight), (bias[number], other.bias)]
    return pairs


def gate(ours: Any, theirs: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Ours has no bias."""
    (other,) = (m for m in theirs.modules() if isinstance(m, nn.Linear))
    return [(ours.choice.weight, other.weight), (torch.zeros_like(other.bias), other.bias)]


class FirstOrderOfVectors(nn.Module):
    """Stands in for genrec's first-order weights: torch-rechub's are a linear layer over the vectors instead."""

    def __init__(self, ours: RankModel, linear: nn.Module) -> None:
        super().__init__()
        self.ours, self.linear = ours, linear
        ours.inputs.linear = self.first_order  # type: ignore[method-assign]

    def first_order(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        found: Tensor = self.linear(self.ours.inputs.flat(batch))
        return found.squeeze(1)

    def forward(self, batch: Batch) -> Tensor:
        """Logits [B]."""
        found: Tensor = self.ours(batch)
        return found


Pair = tuple[nn.Module, nn.Module]


def same_deepfm(world: RankWorld) -> Pair:
    """DeepFM: the pairwise term and the MLP."""
    ours, theirs = DeepFm(layer(world), hidden=HIDDEN), without_batch_norm(deepfm(world))
    copied([*tables(ours, theirs), *linears(ours.deep, theirs.mlp)])  # type: ignore[arg-type]
    return FirstOrderOfVectors(ours, theirs.linear), theirs  # type: ignore[arg-type]


def same_wide_deep(world: RankWorld) -> Pair:
    """Wide & Deep: the MLP."""
    known = list(features(world).values())
    ours = OwnWideDeep(layer(world), hidden=HIDDEN)
    theirs = without_batch_norm(WideDeep(known, known, params()))
    copied([*tables(ours, theirs), *linears(ours.deep, theirs.mlp)])  # type: ignore[arg-type]
    return FirstOrderOfVectors(ours, theirs.linear), theirs  # type: ignore[arg-type]


def same_dcn(world: RankWorld) -> Pair:
    """DCN: cross vectors."""
    ours = Dcn(layer(world), layers=3, hidden=HIDDEN)
    theirs: Any = without_batch_norm(DCN(list(features(world).values()), 3, params()))
    cross = [(ours.cross.weight[i], theirs.cn.w[i].weight) for i in range(3)]
    nn.init.normal_(ours.cross.bias)
    cross += [(ours.cross.bias[i], theirs.cn.b[i]) for i in range(3)]
    out = [(ours.out.weight, theirs.linear.fc.weight), (ours.out.bias, theirs.linear.fc.bias)]
    copied([*tables(ours, theirs), *cross, *linears(ours.deep, theirs.mlp), *out])
    return ours, theirs


def same_mixture(world: RankWorld) -> Pair:
    """DCN v2 of low rank; its gates are shared by the layers, its experts' matrices transposed."""
    ours = DcnV2(layer(world), layers=2, rank=4, experts=3, hidden=HIDDEN)
    known = list(features(world).values())
    theirs: Any = without_batch_norm(DCNv2(known, 2, params(), low_rank=4, num_experts=3))
    cross: Any = ours.cross
    net = theirs.crossnet
    nn.init.normal_(cross.gate, std=0.2)
    nn.init.normal_(cross.bias)
    pairs = []
    for i in range(2):
        copied([(cross.gate[0], cross.gate[i])])
        pairs += [(cross.u[i].transpose(1, 2), net.u_list[i]), (cross.v[i], net.v_list[i])]
        pairs += [(cross.c[i].transpose(1, 2), net.c_list[i]), (cross.bias[i], net.bias[i])]
    pairs += [(cross.gate[0, :, e], net.gating[e].weight) for e in range(3)]
    pairs += [(ours.out.weight, theirs.linear.fc.weight), (ours.out.bias, theirs.linear.fc.bias)]
    copied([*tables(ours, theirs), *pairs, *linears(ours.deep, theirs.parallel_dnn)])
    return ours, theirs


def same_din(world: RankWorld) -> Pair:
    """DIN; its Dice is another function and its padding is attended to, so both get PReLU and no padding counts."""
    ours = Din(layer(world), hidden=HIDDEN, attention=ATTENTION, activation="relu")
    theirs: Any = without_batch_norm(din(world, "relu"))
    for number, module in enumerate(theirs.mlp.mlp):
        if type(module).__name__ == "Dice":
            theirs.mlp.mlp[number] = nn.ReLU()
    width = world.sizes.width
    of_h, of_t, of_difference, of_product = ours.interest.first.weight.chunk(4, dim=1)
    attention = [m for m in theirs.attention_layers.modules() if isinstance(m, nn.Linear)]
    swapped = torch.cat([of_t, of_h, -of_difference, of_product], dim=1)  # it reads (t, h, t - h, t ∘ h)
    pairs = [*tables(ours, theirs), (swapped, attention[0].weight)]
    pairs += [(ours.interest.first.bias, attention[0].bias)]
    pairs += linears(ours.interest.rest, attention[1])
    first, other = (
        next(m for m in net.modules() if isinstance(m, nn.Linear)) for net in (ours.deep, theirs.mlp)
    )
    order = ["interest", "item", "user", "year", "hour", "weekday", "genres"]
    own = ["interest", *(field.name for field in ours.others)]
    columns = torch.cat([torch.arange(width) + width * own.index(name) for name in order])
    pairs += linears(ours.deep, theirs.mlp)
    copied(pairs)
    copied([(first.weight[:, columns], other.weight)])
    items: list[Any] = [ours.inputs.vectors.tables["of_item"], theirs.embedding.embed_dict["item"]]
    for table in items:
        table.weight.data[PAD] = 0.0  # what is padded adds nothing to its sum
    return ours, theirs


def same_mmoe(world: RankWorld) -> Pair:
    """MMoE of two classes."""
    ours = Mmoe(layer(world), tasks=("like", "return"), experts=3, hidden=HIDDEN, tower=(8,))
    known = list(features(world).values())
    theirs: Any = without_batch_norm(MMOE(known, ["classification"] * 2, 3, params(), [params((8,))] * 2))
    pairs = tables(ours, theirs)
    for number, one in enumerate(theirs.experts):
        pairs += expert(ours.shared, number, one)
    for task in range(2):
        pairs += gate(ours.gates[task], theirs.gates[task])
        pairs += linears(ours.towers[task], theirs.towers[task])
    copied(pairs)
    return ours, theirs


def same_ple(world: RankWorld) -> Pair:
    """PLE of two levels and two classes."""
    ours = Ple(layer(world), tasks=("like", "return"), levels=2, own=2, shared=1, hidden=(8,), tower=(8,))
    known = list(features(world).values())
    theirs: Any = without_batch_norm(
        PLE(known, ["classification"] * 2, 2, 2, 1, params((8,)), [params((8,))] * 2)
    )
    pairs = tables(ours, theirs)
    for level, other in zip(ours.extraction, theirs.cgc_layers, strict=True):
        own: Any = level
        for task in range(2):
            for number in range(2):
                pairs += expert(own.own[task], number, other.experts_specific[2 * task + number])
            pairs += gate(own.gates[task], other.gates_specific[task])
        pairs += expert(own.shared, 0, other.experts_shared[0])
        if own.shared_gate is not None:
            pairs += gate(own.shared_gate, other.gate_shared)
    for task in range(2):
        tower = ours.towers[task]
        assert isinstance(tower, Mlp)
        pairs += linears(tower, theirs.towers[task])
    copied(pairs)
    return ours, theirs


PARITY: dict[str, Callable[[RankWorld], Pair]] = {
    "DeepFM": same_deepfm,
    "WideDeep": same_wide_deep,
    "DCN": same_dcn,
    "DCNv2, low rank": same_mixture,
    "DIN, ReLU": same_din,
    "MMOE": same_mmoe,
    "PLE": same_ple,
}
