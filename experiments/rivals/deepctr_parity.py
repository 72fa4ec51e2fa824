"""`deepctr-torch`: its models on genrec's weights, and how far what they say is apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
from deepctr_torch.layers.activation import Dice
from deepctr_torch.models import DCN, DIN, WDL, DCNMix, DeepFM
from deepctr_torch.models.multitask import MMOE, PLE
from torch import Tensor, nn

from genrec.ranking.fields import Batch
from genrec.ranking.layers import Dice as OwnDice
from genrec.ranking.layers import Experts
from genrec.ranking.models.base import RankModel
from genrec.ranking.models.dcn import Dcn
from genrec.ranking.models.dcn_v2 import DcnV2
from genrec.ranking.models.deepfm import DeepFm
from genrec.ranking.models.din import Din
from genrec.ranking.models.fm import Fm
from genrec.ranking.models.lr import Lr
from genrec.ranking.models.mmoe import Mmoe
from genrec.ranking.models.ple import Ple
from genrec.ranking.models.wide_deep import WideDeep
from rivals.rank_contest import ATTENTION, HIDDEN, RankWorld, copied, largest_difference
from rivals.rank_own import layer

IDS = ("user", "item", "year", "hour", "weekday")
Pair = tuple[RankModel, Any]
Copies = list[tuple[Tensor, Tensor]]


class OneMatrix(nn.Module):
    """Its models read one matrix of numbers, whose columns it names; made here from a batch."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tensor:
        """Probabilities [B], or [B, tasks]."""
        named = {
            **batch,
            "hist_item": batch["history"],
            "length": batch["history.mask"].sum(1),
        }
        columns = [named[name].reshape(len(batch["user"]), -1).float() for name in self.model.feature_index]
        found: Tensor = self.model(torch.cat(columns, dim=1))
        return found.squeeze(1)


def columns(world: RankWorld) -> list[Any]:
    """The schema in its words; the history shares the candidate's table, id 0 is padding."""
    width = world.sizes.width
    found: list[Any] = [SparseFeat(name, world.size(name), width) for name in IDS]
    kept = world.examples.kept
    assert kept is not None
    genres = SparseFeat("genres", world.size("genres"), width)
    history = SparseFeat("hist_item", world.size("item"), width, embedding_name="item")
    found.append(VarLenSparseFeat(genres, kept["genres"].shape[1], "mean"))
    found.append(VarLenSparseFeat(history, world.sizes.history, "mean", length_name="length"))
    return found


def parity(world: RankWorld) -> dict[str, float]:
    """Its model -> largest difference from genrec's on the same weights, in probabilities."""
    batch = world.batches[0][0]
    found = {}
    for name, compare in PARITY.items():
        torch.manual_seed(0)
        ours, theirs = compare(world)
        found[name] = largest_difference(ours.eval(), OneMatrix(theirs).eval(), batch)
    return found


def tables(ours: RankModel, theirs: Any, first_order: bool = True) -> Copies:
    """Embeddings that are read by both, made large enough to matter, and first-order weights with their bias."""
    own = ours.inputs
    pairs: Copies = []
    for name in (*IDS, "genres"):
        vectors: Any = own.vectors.tables[f"of_{name}"]
        weights: Any = own.first_order.tables[f"of_{name}"]
        nn.init.normal_(vectors.weight, std=0.3)
        nn.init.normal_(weights.weight, std=0.3)
        if name in theirs.embedding_dict:
            pairs.append((vectors.weight, theirs.embedding_dict[name].weight))
        if first_order:
            pairs.append((weights.weight, theirs.linear_model.embedding_dict[name].weight))
    if first_order:
        nn.init.constant_(own.bias, 0.3)
        pairs.append((own.bias, theirs.out.bias))
    return pairs


def linears(ours: nn.Module, *theirs: nn.Module) -> Copies:
    """Weights and biases of linear layers, in order; a bias that one of them lacks is left out."""
    mine = [m for m in ours.modules() if isinstance(m, nn.Linear)]
    others = [m for net in theirs for m in net.modules() if isinstance(m, nn.Linear)]
    pairs: Copies = []
    for one, other in zip(mine, others, strict=True):
        pairs.append((one.weight, other.weight))
        if one.bias is not None and other.bias is not None:
            pairs.append((one.bias, other.bias))
    return pairs


def same_lr(world: RankWorld) -> Pair:
    """LR, which is its WDL without features for the deep half."""
    ours, theirs = Lr(layer(world)), WDL(columns(world), [], dnn_hidden_units=())
    copied(tables(ours, theirs))
    return ours, theirs


def same_fm(world: RankWorld) -> Pair:
    """FM, which is its DeepFM without hidden layers."""
    ours, theirs = Fm(layer(world)), DeepFM(columns(world), columns(world), dnn_hidden_units=())
    copied(tables(ours, theirs))
    return ours, theirs


def same_deepfm(world: RankWorld) -> Pair:
    """DeepFM."""
    ours = DeepFm(layer(world), hidden=HIDDEN)
    theirs = DeepFM(columns(world), columns(world), dnn_hidden_units=HIDDEN)
    copied([*tables(ours, theirs), *linears(ours.deep, theirs.dnn, theirs.dnn_linear)])
    return ours, theirs


def same_wide_deep(world: RankWorld) -> Pair:
    """Wide & Deep."""
    ours = WideDeep(layer(world), hidden=HIDDEN)
    theirs = WDL(columns(world), columns(world), dnn_hidden_units=HIDDEN)
    copied([*tables(ours, theirs), *linears(ours.deep, theirs.dnn, theirs.dnn_linear)])
    return ours, theirs


def same_dcn(world: RankWorld) -> Pair:
    """DCN with vectors."""
    ours = Dcn(layer(world), layers=3, hidden=HIDDEN)
    theirs = DCN([], columns(world), cross_num=3, dnn_hidden_units=HIDDEN)
    nn.init.normal_(ours.cross.bias)
    cross = [(ours.cross.weight, theirs.crossnet.kernels), (ours.cross.bias, theirs.crossnet.bias)]
    out = [(ours.out.weight, theirs.dnn_linear.weight), (ours.out.bias, theirs.out.bias)]
    copied([*tables(ours, theirs, False), *cross, *out, *linears(ours.deep, theirs.dnn)])
    return ours, theirs


def same_dcn_v2(world: RankWorld) -> Pair:
    """DCN with matrices."""
    ours = DcnV2(layer(world), layers=2, hidden=HIDDEN)
    theirs = DCN([], columns(world), cross_num=2, cross_parameterization="matrix", dnn_hidden_units=HIDDEN)
    cross: Copies = []
    for number, one in enumerate(ours.cross.layers):  # type: ignore[arg-type]
        cross += [(one.weight, theirs.crossnet.kernels[number]), (one.bias, theirs.crossnet.bias[number])]
    out = [(ours.out.weight, theirs.dnn_linear.weight), (ours.out.bias, theirs.out.bias)]
    copied([*tables(ours, theirs, False), *cross, *out, *linears(ours.deep, theirs.dnn)])
    return ours, theirs


def same_mixture(world: RankWorld) -> Pair:
    """DCN-Mix; its gates are shared by the layers."""
    ours = DcnV2(layer(world), layers=2, rank=4, experts=3, hidden=HIDDEN)
    theirs = DCNMix([], columns(world), cross_num=2, dnn_hidden_units=HIDDEN, low_rank=4, num_experts=3)
    own: Any = ours.cross
    net = theirs.crossnet
    nn.init.normal_(own.gate, std=0.2)
    nn.init.normal_(own.bias)
    copied([(own.gate[0], own.gate[1])])
    pairs = [(own.u.transpose(2, 3), net.U_list), (own.v, net.V_list), (own.c.transpose(2, 3), net.C_list)]
    pairs += [(own.bias, net.bias)]
    pairs += [(own.gate[0, :, number], net.gating[number].weight) for number in range(3)]
    pairs += [(ours.out.weight, theirs.dnn_linear.weight), (ours.out.bias, theirs.out.bias)]
    copied([*tables(ours, theirs, False), *pairs, *linears(ours.deep, theirs.dnn)])
    return ours, theirs


def same_din(world: RankWorld) -> Pair:
    """DIN with Dice, also in the MLP, where its own constructor makes a Dice for another number of dimensions."""
    ours = Din(layer(world), hidden=HIDDEN, attention=ATTENTION)
    theirs = DIN(
        columns(world), ["item"], dnn_hidden_units=HIDDEN, att_hidden_size=ATTENTION, att_activation="dice"
    )
    theirs.dnn.activation_layers = nn.ModuleList(Dice(width, dim=2) for width in HIDDEN)
    unit: Any = theirs.attention.local_att
    width = world.sizes.width
    of_h, of_t, of_difference, of_product = ours.interest.first.weight.chunk(4, dim=1)
    swapped = torch.cat([of_t, of_h, -of_difference, of_product], dim=1)  # it reads (t, h, t - h, t ∘ h)
    pairs = [*tables(ours, theirs, False), (swapped, unit.dnn.linears[0].weight)]
    pairs += [(ours.interest.first.bias, unit.dnn.linears[0].bias), *linears(ours.interest.rest, unit.dense)]
    order = [*IDS, "genres", "interest"]
    own = ["interest", *(field.name for field in ours.others)]
    places = torch.cat([torch.arange(width) + width * own.index(name) for name in order])
    first, *deeper, last = (m for m in ours.deep.modules() if isinstance(m, nn.Linear))
    pairs += [
        (first.weight[:, places], theirs.dnn.linears[0].weight),
        (first.bias, theirs.dnn.linears[0].bias),
    ]
    for one, other in zip(deeper, theirs.dnn.linears[1:], strict=True):
        pairs += [(one.weight, other.weight), (one.bias, other.bias)]
    pairs += [(last.weight, theirs.dnn_linear.weight), (last.bias, theirs.out.bias)]
    mine = [m for net in (ours.interest, ours.deep) for m in net.modules() if isinstance(m, OwnDice)]
    others = [*unit.dnn.activation_layers, *theirs.dnn.activation_layers]
    for dice, other in zip(mine, others, strict=True):
        for tensor in (dice.alpha, dice.mean):
            nn.init.normal_(tensor, std=0.3)
        pairs += [(dice.alpha, other.alpha), (dice.mean, other.bn.running_mean)]
        pairs += [(dice.variance, other.bn.running_var)]
    copied(pairs)
    return ours, theirs


def experts(ours: Experts, theirs: nn.ModuleList) -> Copies:
    """Experts side by side, and a list of networks."""
    pairs: Copies = []
    for number, network in enumerate(theirs):
        inner: Any = network
        for weight, bias, other in zip(ours.weights, ours.biases, inner.linears, strict=True):
            pairs += [(weight[number].T, other.weight), (bias[number], other.bias)]
    return pairs


def towers(ours: Mmoe | Ple, theirs: Any) -> Copies:
    """A hidden layer, and an output whose bias it keeps apart."""
    pairs: Copies = []
    for task in range(len(ours.tasks)):
        one: Any = ours.towers[task]
        pairs += linears(one, theirs.tower_dnn[task], theirs.tower_dnn_final_layer[task])
        pairs += [(one[-1].bias, theirs.out[task].bias)]
    return pairs


def same_mmoe(world: RankWorld) -> Pair:
    """MMoE of two classes."""
    ours = Mmoe(layer(world), tasks=("like", "return"), experts=3, hidden=HIDDEN, tower=(8,))
    theirs = MMOE(columns(world), 3, HIDDEN, (), (8,))
    pairs = [*tables(ours, theirs, False), *experts(ours.shared, theirs.expert_dnn), *towers(ours, theirs)]
    for task in range(2):
        pairs += linears(ours.gates[task], theirs.gate_dnn_final_layer[task])
    copied(pairs)
    return ours, theirs


def same_ple(world: RankWorld) -> Pair:
    """PLE of two levels and two classes; it makes as many shared experts as a task has of its own."""
    ours = Ple(layer(world), tasks=("like", "return"), levels=2, own=2, shared=2, hidden=(8,), tower=(8,))
    theirs = PLE(columns(world), 2, 2, 2, (8,), (), (8,))
    pairs = [*tables(ours, theirs, False), *towers(ours, theirs)]
    for number, level in enumerate(ours.extraction):
        own: Any = level
        for task in range(2):
            pairs += experts(own.own[task], theirs.specific_experts[number][task])
            pairs += linears(own.gates[task], theirs.specific_gate_dnn_final_layer[number][task])
        pairs += experts(own.shared, theirs.shared_experts[number][0])
        if own.shared_gate is not None:
            pairs += linears(own.shared_gate, theirs.shared_gate_dnn_final_layer[number])
    copied(pairs)
    return ours, theirs


PARITY: dict[str, Callable[[RankWorld], Pair]] = {
    "linear part": same_lr,
    "DeepFM, no MLP (FM)": same_fm,
    "DeepFM": same_deepfm,
    "WDL": same_wide_deep,
    "DCN, vector": same_dcn,
    "DCN, matrix": same_dcn_v2,
    "DCNMix": same_mixture,
    "DIN, Dice": same_din,
    "MMOE": same_mmoe,
    "PLE": same_ple,
}
