"""Where and how training runs: device, precision, threads, seed; a thin coat over accelerate."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Literal, get_args

import torch
from accelerate import Accelerator
from accelerate.utils import DynamoBackend
from torch import nn
from torch.optim import Optimizer

from genrec.errors import ConfigError
from genrec.training.processes import Processes, seed_generators

Precision = Literal["no", "bf16", "fp16"]


class Runtime:
    """Device, precision, and repeatability; with `torchrun`, of one of several processes.

    Args:
        seed: of every random generator.
        precision: `no` (float32), `bf16`, or `fp16` (GPU only).
        threads: CPU threads of torch in each process; None leaves torch's choice.
        compile: compile the model's forward pass.
        cpu: stay on the CPU even if there is an accelerator.
    """

    def __init__(
        self,
        seed: int = 0,
        precision: Precision = "no",
        threads: int | None = None,
        compile: bool = False,
        cpu: bool = False,
    ) -> None:
        if seed < 0:
            raise ConfigError(f"Runtime.seed is {seed}; it must be 0 or more")
        if precision not in get_args(Precision):
            raise ConfigError(
                f"Runtime.precision is {precision!r}; choose one of {', '.join(get_args(Precision))}"
            )
        if threads is not None and threads < 1:
            raise ConfigError(f"Runtime.threads is {threads}; it must be 1 or more, or None")
        if cpu or not torch.accelerator.is_available():
            _check_cpu(precision)
        self.seed, self.precision, self.threads, self.compile, self.cpu = (
            seed,
            precision,
            threads,
            compile,
            cpu,
        )

    @cached_property
    def accelerator(self) -> Accelerator:
        """Made on first use, so that a runtime can be configured where nothing is trained."""
        # oneDNN keeps a plan and its memory for each of the last 1,024 shapes; batches of many shapes fill gigabytes
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
        backend = DynamoBackend.INDUCTOR if self.compile else DynamoBackend.NO
        cpu = self.cpu or not torch.accelerator.is_available()  # without a GPU, gloo has to be asked for
        accelerator = Accelerator(mixed_precision=self.precision, cpu=cpu, dynamo_backend=backend)
        started = int(os.environ.get("WORLD_SIZE", "1"))
        if accelerator.num_processes != started:
            raise ConfigError(
                f"{started} processes were started, but they cannot work together on {accelerator.device.type}; start "
                "one, or bind Runtime.cpu = True"
            )
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        return accelerator

    @cached_property
    def processes(self) -> Processes:
        """This process and those beside it."""
        accelerator = self.accelerator
        return Processes(accelerator.process_index, accelerator.num_processes, accelerator.device)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        device: torch.device = self.accelerator.device
        return device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return bool(self.accelerator.is_main_process)

    def seed_everything(self) -> None:
        """Seed all generators and ask torch for repeatable algorithms; with one seed, two runs are the same."""
        seed_generators(self.seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined] # costs time and changes no result
        _ = self.accelerator  # sets the number of threads, on which sums depend

    def prepare(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Move to the device and wrap for precision and compilation; `processes` sums the gradients."""
        model = self.accelerator.prepare_model(
            model, evaluation_mode=True
        )  # else it would be wrapped for that too
        return model, self.accelerator.prepare_optimizer(optimizer)

    def close(self) -> None:
        """Part from the other processes: what follows is for one alone."""
        self.accelerator.end_training()

    def unwrap(self, model: nn.Module) -> nn.Module:
        """The model as it was before `prepare`, with its own names of weights."""
        plain: nn.Module = self.accelerator.unwrap_model(model, keep_torch_compile=False)
        return plain


def _check_cpu(precision: Precision) -> None:
    if precision == "fp16":
        raise ConfigError("Runtime.precision 'fp16' needs a GPU; use 'no', or 'bf16' where the CPU has it")
    if precision == "bf16" and not torch.cpu._is_avx512_bf16_supported():
        raise ConfigError(
            "Runtime.precision 'bf16' is slower than 'no' here: this CPU has no AVX512-BF16; use 'no'"
        )
