from __future__ import annotations

import torch

from genrec.generative.decoder import CodeDecoder

SIZES, D = (3, 4, 2), 6


def made() -> CodeDecoder:
    torch.manual_seed(0)
    decoder = CodeDecoder(SIZES, D, dropout=0.0).double().eval()
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter)  # far from the start, where all logits are alike
    return decoder


def test_a_level_reads_the_state_and_the_codes_before_it() -> None:
    decoder, state = made(), torch.randn(2, D, dtype=torch.float64)
    codes = torch.tensor([[2, 3, 1], [0, 3, 0]])
    levels = decoder.teacher_forced(state, codes)
    assert [tuple(level.logits.shape) for level in levels] == [(2, 3), (2, 4), (2, 2)]
    for row in range(2):
        h = state[row]
        for level, head in enumerate(decoder.heads):
            torch.testing.assert_close(levels[level].logits[row], head(h).logits)
            torch.testing.assert_close(levels[level].logits[row], head.classify(levels[level].hidden[row]))
            if level < 2:
                h = h + decoder.prefix[level].weight[codes[row, level]]
    changed = decoder.teacher_forced(state, torch.tensor([[2, 0, 1], [0, 1, 0]]))
    assert torch.equal(changed[1].logits, levels[1].logits)
    assert not torch.isclose(changed[2].logits, levels[2].logits).any()


def test_beams_continue_what_they_are_told_to() -> None:
    decoder, state = made(), torch.randn(2, D, dtype=torch.float64)
    beams = decoder.beams(state)
    beams.start()
    beams.advance(1, torch.zeros(2, 3, dtype=torch.int64), torch.tensor([[2, 0, 1], [1, 1, 0]]))
    chosen = beams.select(torch.tensor([1, 0, 1]))
    parent, code = torch.tensor([[2, 0], [0, 0], [1, 1]]), torch.tensor([[3, 1], [3, 0], [2, 2]])
    found = chosen.advance(2, parent, code)
    expected = [[(1, 0, 3), (1, 1, 1)], [(0, 2, 3), (0, 2, 0)], [(1, 1, 2), (1, 1, 2)]]  # request, codes
    for row in range(3):
        for beam in range(2):
            request, first, second = expected[row][beam]
            forced = decoder.teacher_forced(state[request][None], torch.tensor([[first, second, 0]]))
            torch.testing.assert_close(found.logits[row, beam], forced[2].logits[0])
    torch.testing.assert_close(beams.start().logits[:, 0], decoder.heads[0](state).logits)
