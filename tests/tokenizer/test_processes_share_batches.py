"""What is computed over a whole batch is the same when processes share it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from shared_rqvae import trained_by

from genrec.tokenizer.processes import mean_over_processes, rows_of_all_processes, sum_over_processes


def test_two_processes_end_where_one_does(tmp_path: Path) -> None:
    """Running means, balanced assignment, contrasted rows and resets, in float tolerance; both have the same."""
    for size in (1, 2):
        trained_by(size, tmp_path)
    alone, first, second = (load_file(tmp_path / name) for name in ("1-0", "2-0", "2-1"))
    for name, expected in alone.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], expected, rtol=1e-3, atol=1e-4, msg=name)


def test_one_process_is_left_alone() -> None:
    x = torch.randn(3, 2)
    for over in (sum_over_processes, mean_over_processes, rows_of_all_processes):
        assert over(x) is x
