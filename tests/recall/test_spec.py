"""Objects as JSON: every kind of setting comes back, and no class is made that was not asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from genrec.errors import ArtifactError
from genrec.recall.hybrid import Weights
from genrec.recall.neural import Training
from genrec.recall.spec import built, described
from genrec.recall.storable import Storable
from genrec.recall.vector_index import VectorIndex
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.schedules import Cosine


@dataclass(frozen=True)
class Knobs:
    """Settings of everything."""

    sizes: tuple[int, ...] = (1, 2)
    names: Mapping[str, float] = field(default_factory=dict)
    inner: Training | None = None


VALUES = [
    None,
    True,
    3,
    -0.5,
    math.inf,
    "text",
    [1, [2]],
    (1, ("two", None)),
    {"a": 1.5, "b": (1,)},
    Weights(0.1, 0.2, 0.7),
    Knobs((3,), {"x": math.inf}, Training(epochs=3, recipe=Recipe(schedule=Cosine(warmup=7, floor=0.1)))),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_settings_survive_json(value: object) -> None:
    form = json.loads(json.dumps(described(value, "it"), allow_nan=False))
    hint: Any = type(value) if isinstance(value, Knobs | Weights) else Any
    again = built(form, hint)
    assert type(again) is type(value)
    assert described(again, "it") == form
    if not isinstance(value, Knobs):
        assert again == value


def test_nested_settings_are_objects_again() -> None:
    training = Training(learning_rate=0.5, recipe=Recipe(ema=0.9), runtime=Runtime(seed=4, cpu=True))
    again = built(described(training, "it"), Training)
    assert (again.learning_rate, again.recipe.ema, again.runtime.seed, again.runtime.cpu) == (
        0.5,
        0.9,
        4,
        True,
    )
    assert isinstance(again.recipe.schedule, Cosine)


class Odd:
    """Half a vector index."""

    def build(self, vectors: NDArray[np.float32]) -> Self:
        return self


def form_of(name: str, **arguments: object) -> dict[str, object]:
    return {"class": name, "arguments": arguments}


@pytest.mark.parametrize(
    ("form", "hint", "words"),
    [
        (form_of("subprocess:Popen", args=["false"]), Storable, "subprocess:Popen stands where"),
        (form_of("subprocess:Popen", args=["false"]), VectorIndex | None, "stands where"),
        (form_of("subprocess:Popen", args=["false"]), Any, "stands where"),
        (form_of("functools:partial", func=None), Cosine, "stands where"),
        (form_of(f"{__name__}:Odd"), VectorIndex, "stands where"),  # it cannot search
        (form_of("genrec.recall.vector_index:np"), Any, "no class np"),
        (form_of("genrec.artifacts:Path"), Any, "no class Path in genrec.artifacts"),
        (form_of("genrec.recall.gone:Gone"), Storable, "not imported"),
        (form_of("genrec.gone.deeper:Gone"), Storable, "not imported"),
        (form_of("antigravity:Fly"), Storable, "add the line `import antigravity`"),
        (form_of("genrec.recall.ease:Ease", strength=1), Storable, "of this version of the code"),
    ],
)
def test_a_class_that_is_not_asked_for_is_never_made(form: dict[str, object], hint: Any, words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        built(form, hint)
