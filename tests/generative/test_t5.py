"""Our T5 is that of `transformers`: the same numbers from the same weights, and the same course of training."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hf_weights import copy_weights, in_double, their_t5, translated
from torch import Tensor

from genrec.generative.t5 import T5
from genrec.generative.t5_layers import Past

VOCABULARY, B, S, Q = 30, 4, 150, 5  # S: past the distance at which the last bucket of positions begins
SIZES = {"width": 12, "heads": 3, "head_width": 5, "feed": 16, "layers": 2}


def ours(*, gated: bool = False, dropout: float = 0.0) -> T5:
    torch.manual_seed(1)
    return T5(VOCABULARY, **SIZES, gated=gated, dropout=dropout)  # type: ignore[arg-type]


def pair(gated: bool = False) -> tuple[T5, Any]:
    """Both with the same weights, in double precision."""
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[text]'")
    one, other = ours(gated=gated).double(), in_double(their_t5(VOCABULARY, gated=gated, **SIZES))
    copy_weights(other.state_dict(), one)
    return one, other


def batch(seed: int = 0, length: int = S) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens [B, length], which of them are real, and labels [B, Q]; half of the second row is padding."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, VOCABULARY, (B, length), generator=generator)
    labels = torch.randint(1, VOCABULARY, (B, Q), generator=generator)
    real = torch.ones_like(tokens, dtype=torch.bool)
    real[1, length // 2 :] = False
    return torch.where(real, tokens, 0), real, labels


def logits(model: T5, tokens: Tensor, real: Tensor | None, labels: Tensor) -> Tensor:
    return model.logits(model.decode(F.pad(labels[:, :-1], (1, 0)), model.encode(tokens, real), real))


def loss(model: T5, tokens: Tensor, real: Tensor | None, labels: Tensor) -> Tensor:
    return F.cross_entropy(logits(model, tokens, real, labels).flatten(0, 1), labels.flatten())


@pytest.mark.parametrize("gated", [False, True])
def test_output_loss_and_gradients_are_those_of_transformers(gated: bool) -> None:
    model, reference = pair(gated)
    tokens, real, labels = batch()
    expected = reference(input_ids=tokens, attention_mask=real.long(), labels=labels)
    close = {"rtol": 1e-9, "atol": 1e-9}
    torch.testing.assert_close(
        model.encode(tokens, real)[real], expected.encoder_last_hidden_state[real], **close
    )
    torch.testing.assert_close(logits(model, tokens, real, labels), expected.logits, **close)
    found = loss(model, tokens, real, labels)
    torch.testing.assert_close(found, expected.loss, **close)
    found.backward()
    expected.loss.backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    wanted = translated(gradients, model)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
        torch.testing.assert_close(parameter.grad, wanted[name], **close, msg=name)


def test_training_takes_the_same_course() -> None:
    model, reference = pair()
    optimizers = [torch.optim.AdamW(one.parameters(), lr=3e-3) for one in (model, reference)]
    curves: list[list[float]] = [[], []]
    for step in range(40):
        tokens, real, labels = batch(step % 4, length=12)
        both = (
            loss(model, tokens, real, labels),
            reference(input_ids=tokens, attention_mask=real.long(), labels=labels).loss,
        )
        for curve, optimizer, one in zip(curves, optimizers, both, strict=True):
            optimizer.zero_grad()
            one.backward()
            optimizer.step()
            curve.append(one.item())
    assert curves[0][-1] < 0.7 * curves[0][0]
    assert curves[0] == pytest.approx(curves[1], abs=1e-6)


def test_weights_are_drawn_as_transformers_draws_them() -> None:
    pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[text]'")
    sizes = {"width": 64, "heads": 4, "head_width": 32, "feed": 96, "layers": 1}
    model = T5(500, **sizes, dropout=0.0)  # type: ignore[arg-type]
    for name, wanted in translated(their_t5(500, **sizes).state_dict(), model).items():
        found = model.state_dict()[name]
        assert found.shape == wanted.shape
        parts = 3 if name.endswith("qkv.weight") else 1  # queries are smaller than keys and values
        for mine, other in zip(found.chunk(parts), wanted.chunk(parts), strict=True):
            assert mine.std().item() == pytest.approx(other.std().item(), rel=0.25, abs=1e-6), name
            assert mine.mean().item() == pytest.approx(other.mean().item(), abs=0.1), name


@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_steps_of_many_beams_give_what_whole_sequences_give(padded: bool) -> None:
    model, W = ours().double().eval(), 6
    tokens, real, _ = batch(length=9)
    mask = real if padded else None
    encoded = model.encode(tokens, mask)
    memory, past = model.remember(encoded, mask), model.no_past(B)
    generator = torch.Generator().manual_seed(2)
    written, beams = torch.zeros(B, 1, 1, dtype=torch.int64), torch.zeros(B, 1, dtype=torch.int64)
    for length in range(1, 5):
        hidden, past = model.step(written[:, :, -1], past, beams, memory, slice(None))
        assert past[0].keys.shape == (B, written.shape[1], length, SIZES["heads"], SIZES["head_width"])
        for beam in range(written.shape[1]):
            expected = model.decode(written[:, beam], encoded, mask)[:, -1]
            torch.testing.assert_close(hidden[:, beam], expected)
        beams = torch.randint(written.shape[1], (B, W), generator=generator)
        following = torch.randint(VOCABULARY, (B, W, 1), generator=generator)
        written = torch.cat([written[torch.arange(B)[:, None], beams], following], 2)


@torch.no_grad()
def test_steps_of_some_requests() -> None:
    model = ours().double().eval()
    tokens, real, _ = batch(length=9)
    memory, past = model.remember(model.encode(tokens, real), real), model.no_past(B)
    token = torch.arange(B)[:, None]
    every, _ = model.step(token, past, torch.zeros_like(token), memory, slice(None))
    for rows in (torch.tensor([3, 1, 1]), slice(1, 3)):
        some = [layer.of_requests(rows) for layer in past]
        found, _ = model.step(token[rows], some, torch.zeros_like(token[rows]), memory, rows)
        torch.testing.assert_close(found, every[rows])


def test_a_past_is_chosen_and_joined() -> None:
    past = Past(torch.arange(12.0).view(2, 3, 1, 2, 1), torch.zeros(2, 3, 1, 2, 1))
    chosen = past.of_beams(torch.tensor([[2], [0]]))
    assert chosen.keys.flatten().tolist() == [4, 5, 6, 7]
    joined = Past.joined([chosen.of_requests(torch.tensor([1, 1])), chosen])
    assert joined.keys[:, 0, 0, 0, 0].tolist() == [6, 6, 4, 6]
    assert joined.values.shape == (4, 1, 1, 2, 1)


@torch.no_grad()
def test_padding_and_company_change_nothing() -> None:
    model = ours().double().eval()
    tokens, real, labels = batch(length=20)
    alone = logits(model, tokens[1:2, :10], None, labels[1:2])
    torch.testing.assert_close(logits(model, tokens, real, labels)[1:2], alone)


def test_dropout_acts_in_training_only() -> None:
    model = ours(dropout=0.5)
    tokens, real, labels = batch(length=9)
    assert not torch.equal(loss(model, tokens, real, labels), loss(model, tokens, real, labels))
    model.eval()
    assert torch.equal(loss(model, tokens, real, labels), loss(model, tokens, real, labels))


def test_logits_of_a_range_are_a_part_of_all() -> None:
    model, hidden = ours(), torch.randn(2, 3, 12)
    torch.testing.assert_close(model.logits(hidden, 4, 9), model.logits(hidden)[..., 4:9])
