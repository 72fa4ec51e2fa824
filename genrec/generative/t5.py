"""T5: an encoder-decoder over tokens, as Raffel et al. 2020 describe it (§2.1), with the weights of the original.

Decoding step by step never repeats the encoder's output per beam: all beams of a request are queries of one
attention over it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.generative.dropout import Dropout
from genrec.generative.linear import linear
from genrec.generative.t5_layers import DecoderLayer, Layer, Memory, Past, RelativeBias, RmsNorm


class T5(nn.Module):
    """Encoder and decoder over one vocabulary.

    Args:
        vocabulary: number of tokens.
        width: D.
        heads: H.
        head_width: d; H d need not be D.
        feed: hidden width of the feed-forward layers.
        layers: of the encoder, and of the decoder.
        dropout: on embeddings, residual branches, hidden layers and outputs. Attention weights are not
            dropped out, unlike in the paper: it would forbid fused kernels and cost a tenth of a step.
        gated: feed-forward layers as in T5 1.1.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        width: int,
        heads: int,
        head_width: int,
        feed: int,
        layers: int,
        dropout: float,
        gated: bool = False,
    ) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        self.embedding = nn.Embedding(vocabulary, width)  # N(0, 1), as it is drawn by default

        sizes = (width, heads, head_width, feed, dropout)
        self.encoder_bias = RelativeBias(heads, width, causal=False)
        self.encoder = nn.ModuleList(Layer(*sizes, gated=gated) for _ in range(layers))
        self.encoder_norm = RmsNorm(width)
        self.decoder_bias = RelativeBias(heads, width, causal=True)
        self.decoder = nn.ModuleList(DecoderLayer(*sizes, gated=gated) for _ in range(layers))
        self.decoder_norm = RmsNorm(width)
        self.dropout = Dropout(dropout)

    def encode(self, tokens: Tensor, real: Tensor | None = None) -> Tensor:
        """Tokens int64 [B, S], real bool [B, S] or None where nothing is padded -> [B, S, D]."""
        bias = self.encoder_bias(tokens.shape[1], tokens.shape[1])
        if real is not None:
            bias = bias.masked_fill(~real[:, None, None], -torch.inf)  # [B, H, S, S]
        x = self.dropout(self.embedding(tokens))
        for layer in self.encoder:
            x = layer(x, bias)
        return self.dropout(self.encoder_norm(x))  # type: ignore[no-any-return]

    def decode(self, tokens: Tensor, encoded: Tensor, real: Tensor | None = None) -> Tensor:
        """All positions at once: tokens int64 [B, Q] -> [B, Q, D], each from the tokens up to its own."""
        bias = self.decoder_bias(tokens.shape[1], tokens.shape[1])
        mask = None if real is None else real[:, None, None]
        x = self.dropout(self.embedding(tokens))
        for layer in self.decoder:
            x = layer.decode(x, bias, encoded, mask)  # type: ignore[operator]
        return self.dropout(self.decoder_norm(x))  # type: ignore[no-any-return]

    def remember(self, encoded: Tensor, real: Tensor | None = None) -> Memory:
        """What `step` needs of encoded tokens [B, S, D]; computed once for all beams and steps."""
        pairs = [layer.cross.project(encoded) for layer in self.decoder]  # type: ignore[union-attr, operator]
        keys, values = zip(*pairs, strict=True)
        return Memory(keys, values, None if real is None else real[:, None, None])

    def no_past(self, requests: int) -> list[Past]:
        """What each layer knows of one beam per request before its first token."""
        empty = self.embedding.weight.new_zeros(requests, 1, 0, self.heads, self.head_width)
        return [Past(empty, empty)] * len(self.decoder)

    def step(
        self, tokens: Tensor, past: list[Past], beams: Tensor, memory: Memory, rows: Tensor | slice
    ) -> tuple[Tensor, list[Past]]:
        """One more token of each beam; without dropout.

        Args:
            tokens: int64 [R, W].
            past: of the beams before, one per layer.
            beams: int64 [R, W], which of them each beam continues.
            memory: of B requests.
            rows: the request of each row of beams, a range or int64 [R].

        Returns:
            ([R, W, D], the longer past); what `decode` gives for the last token.
        """
        bias = self.decoder_bias(1, past[0].keys.shape[2] + 1)
        x, longer = self.embedding(tokens), []
        for number, layer in enumerate(self.decoder):
            known = past[number].of_beams(beams)
            x, grown = layer.step(x, known, bias, *memory.layer(number, rows))  # type: ignore[operator]
            longer.append(grown)
        return self.decoder_norm(x), longer

    def logits(self, hidden: Tensor, first: int = 0, end: int | None = None) -> Tensor:
        """Logits [..., end - first] of a range of the vocabulary, from the decoder's output [..., D]."""
        table = self.embedding.weight[first:end]
        return linear(hidden * table.shape[1] ** -0.5, table)
