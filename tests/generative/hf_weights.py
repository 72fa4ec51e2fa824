"""The T5 of `transformers` beside ours, with the same weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.generative.t5 import T5


def their_t5(
    vocabulary: int, *, gated: bool = False, dropout: float = 0.0, seed: int = 0, **sizes: int
) -> Any:
    """A `T5ForConditionalGeneration` as it is drawn; sizes are those of `T5`."""
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=sizes["width"],
        d_kv=sizes["head_width"],
        d_ff=sizes["feed"],
        num_layers=sizes["layers"],
        num_heads=sizes["heads"],
        dropout_rate=dropout,
        feed_forward_proj="gated-gelu" if gated else "relu",
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=None,
    )
    return T5ForConditionalGeneration(config)


def in_double(model: Any) -> Any:
    """The same in double precision, with its norms too, which it would take in single whatever the weights are."""
    for module in model.modules():
        if type(module).__name__ == "T5LayerNorm":
            module.forward = partial(
                F.rms_norm,
                normalized_shape=module.weight.shape,
                weight=module.weight,
                eps=module.variance_epsilon,
            )
    return model.double()


def translated(weights: Mapping[str, Tensor], model: T5) -> dict[str, Tensor]:
    """Weights or gradients of theirs, under the names that they have in ours."""
    found = {"embedding.weight": weights["shared.weight"]}
    for side in ("encoder", "decoder"):
        bias = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        found[f"{side}_norm.weight"] = weights[f"{side}.final_layer_norm.weight"]
        found[f"{side}_bias.table.weight"] = weights[bias]
        for number, block in enumerate(getattr(model, side)):
            theirs, ours = f"{side}.block.{number}.layer", f"{side}.{number}"
            feed = f"{theirs}.{1 if side == 'encoder' else 2}"
            lift = ("wi_0", "wi_1") if block.feed.gated else ("wi",)
            found |= {
                f"{ours}.attention_norm.weight": weights[f"{theirs}.0.layer_norm.weight"],
                f"{ours}.attention.qkv.weight": torch.cat(
                    [weights[f"{theirs}.0.SelfAttention.{name}.weight"] for name in "qkv"]
                ),
                f"{ours}.attention.out.weight": weights[f"{theirs}.0.SelfAttention.o.weight"],
                f"{ours}.feed_norm.weight": weights[f"{feed}.layer_norm.weight"],
                f"{ours}.feed.lift.weight": torch.cat(
                    [weights[f"{feed}.DenseReluDense.{name}.weight"] for name in lift]
                ),
                f"{ours}.feed.drop.weight": weights[f"{feed}.DenseReluDense.wo.weight"],
            }
            if side == "decoder":
                cross = f"{theirs}.1.EncDecAttention"
                found |= {
                    f"{ours}.cross_norm.weight": weights[f"{theirs}.1.layer_norm.weight"],
                    f"{ours}.cross.query.weight": weights[f"{cross}.q.weight"],
                    f"{ours}.cross.key": weights[f"{cross}.k.weight"],
                    f"{ours}.cross.value": weights[f"{cross}.v.weight"],
                    f"{ours}.cross.out.weight": weights[f"{cross}.o.weight"],
                }
    return found


def copy_weights(weights: Mapping[str, Tensor], model: T5) -> None:
    """Give ours the weights of theirs."""
    model.load_state_dict(translated(weights, model))
