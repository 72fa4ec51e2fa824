"""A training run on disk: its folder, its identity, its checkpoints, and the trackers that listen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from torch.optim import Optimizer

from genrec.artifacts import artifact_files
from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import resume_step, run
from genrec.training.runtime import Runtime
from genrec.training.settings import LoopResult, LoopSettings, Task
from genrec.training.trackers import Trackers, open_trackers


class Job:
    """Opens the trackers, and hands them the configuration, the figures and the artifact; on the main process.

    Args:
        folder: where the run writes.
        name: of the run in W&B.
        identity: hash of configuration and inputs; None for a run without training.
        runtime: device and seed.
        wandb: log to Weights & Biases too.
        configuration: everything that is bound, as gin text.
        operative: what was used so far, as gin text, asked for when it is known.

    Raises:
        ArtifactError: the folder holds a run with another identity; nothing has been written then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        identity: str | None,
        runtime: Runtime,
        wandb: bool,
        configuration: str,
        operative: Callable[[], str],
    ) -> None:
        self.folder, self.identity, self.runtime, self.operative = folder, identity, runtime, operative
        self.checkpoints = Checkpoints(folder / "checkpoints")
        resumed = None if identity is None else resume_step(self.checkpoints, identity)
        self.trackers = (
            open_trackers(folder, wandb=wandb, name=name, resume_step=resumed)
            if runtime.is_main
            else Trackers()
        )
        self.trackers.configuration(configuration, "config-full.gin")

    def train(self, task: Task, optimizer: Optimizer, settings: LoopSettings) -> LoopResult:
        """Run the loop, from the last checkpoint if there is one; tracks the operative configuration after a step."""
        return run(
            task,
            optimizer,
            settings,
            runtime=self.runtime,
            checkpoints=self.checkpoints,
            trackers=self.trackers,
            identity=self.identity or "",
            on_first_step=lambda: self.trackers.configuration(self.operative(), "config-operative.gin"),
        )

    def finish(self, figures: Mapping[str, float], name: str, kind: str) -> None:
        """Hand over the final figures and the artifact that has been written into the folder, and close."""
        self.trackers.configuration(self.operative(), "config-operative.gin")
        self.trackers.table(f"{kind}-figures", ["figure", "value"], [[k, v] for k, v in figures.items()])
        self.trackers.artifact(self.folder, name, kind, artifact_files(self.folder))
        self.trackers.close()
