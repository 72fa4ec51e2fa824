"""Do posters help? Semantic ids from different content, and the same small model trained on each.

    python experiments/multimodal.py configs/multimodal_ml1m.gin

Every variant is the tokenizer's configuration with bindings of its own. Each is trained once by train_rqvae.py, then
a decoder per seed by train_decoder.py, judged on test by experiments/evaluate_recall.py. What is finished is not
repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import gin

from genrec import config
from genrec.artifacts import write_json
from genrec.config.parts import Part
from genrec.errors import ConfigError
from genrec.evaluation.content_comparison import content_section, flat_figures, text_table
from genrec.evaluation.page import write_page


@gin.configurable
def multimodal(
    *,
    tokenizer: str,
    decoder: str,
    recall: str,
    variants: Mapping[str, Sequence[str]],
    reference: str,
    seeds: Sequence[int] = (0, 1, 2),
    jobs: int = 2,
    out: str = "out/multimodal",
) -> None:
    """Train and judge every variant, and write the table.

    Args:
        tokenizer: configuration of train_rqvae.py.
        decoder: configuration of train_decoder.py.
        recall: configuration of experiments/evaluate_recall.py.
        variants: bindings of the tokenizer by name.
        reference: the variant that others are compared with.
        seeds: of the decoder's training, one run each.
        jobs: runs at the same time, with a thread each; as many as there are cores is fastest.
        out: output folder.
    """
    if reference not in variants or not seeds or jobs < 1:
        raise ConfigError(
            f"multimodal.reference must be one of {', '.join(variants)}, and multimodal.seeds and multimodal.jobs not "
            f"empty; got {reference!r}, {seeds!r} and {jobs}"
        )
    home = Path(out)
    with ThreadPoolExecutor(jobs) as pool:
        ids = {
            name: Part.of(home / str(place), "tokenizer", "train_rqvae.py", [tokenizer], bindings)
            for place, (name, bindings) in enumerate(variants.items())
        }
        quality = dict(zip(ids, pool.map(lambda name: ids[name].run(), ids), strict=True))
        chosen = list(product(ids, seeds))
        found = list(pool.map(lambda pair: judged(ids[pair[0]], pair[1], decoder, recall), chosen))
    runs = {
        name: [quality[name] | one for (owner, _), one in zip(chosen, found, strict=True) if owner == name]
        for name in variants
    }
    flat = flat_figures(runs, reference)
    write_json(home / "metrics.json", flat)
    section = content_section(flat, list(variants), reference)
    page = write_page(home / "content.html", "Do posters help?", [section])
    print(f"{text_table(flat, list(variants), reference)}\n\nreport: {page}")


def judged(ids: Part, seed: int, decoder: str, recall: str) -> dict[str, float]:
    """Test figures of a decoder on these ids."""
    path = f"train.semantic_ids_path = {ids.folder.as_posix()!r}"
    given = [f"runtime.Runtime.seed = {seed}", "runtime.Runtime.threads = 1"]
    model = Part.of(ids.folder.parent, "decoder", "train_decoder.py", [decoder], given, ids.key)
    model.run(path)
    test = Part.of(ids.folder.parent, "recall", "experiments/evaluate_recall.py", [recall], [], model.key)
    return test.run(
        f"evaluate.semantic_ids_path = {ids.folder.as_posix()!r}",
        f"evaluate.decoder_path = {model.folder.as_posix()!r}",
    )


if __name__ == "__main__":
    sys.exit(config.main(multimodal, description=__doc__))
