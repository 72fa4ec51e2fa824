"""Do posters help? Semantic ids from different content, and the same small model trained on each.

    python experiments/multimodal.py configs/multimodal_ml1m.gin

Every variant is the tokenizer's configuration with bindings of its own. For every seed train_rqvae.py makes ids,
train_decoder.py a model of them, and experiments/evaluate_recall.py judges it on test. What is finished is not
repeated.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
        seeds: of the tokenizer and of the decoder, one run each.
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
        found = {
            name: [
                pool.submit(figures, home / str(place), (tokenizer, decoder, recall), bindings, seed)
                for seed in seeds
            ]
            for place, (name, bindings) in enumerate(variants.items())
        }
        try:
            runs = {name: [one.result() for one in several] for name, several in found.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the table cannot be made any more
            raise
    flat = flat_figures(runs, reference)
    write_json(home / "metrics.json", flat)
    section = content_section(flat, list(variants), reference)
    page = write_page(home / "content.html", "Do posters help?", [section])
    print(f"{text_table(flat, list(variants), reference)}\n\nreport: {page}")


def figures(home: Path, configs: tuple[str, str, str], variant: Sequence[str], seed: int) -> dict[str, float]:
    """Quality of the ids of a variant, and test figures of a decoder on them."""
    tokenizer, decoder, recall = configs
    given = [f"runtime.Runtime.seed = {seed}", "runtime.Runtime.threads = 1"]
    ids = Part.of(home, "tokenizer", "train_rqvae.py", [tokenizer], [*variant, *given])
    model = Part.of(home, "decoder", "train_decoder.py", [decoder], given, ids.key)
    test = Part.of(home, "recall", "experiments/evaluate_recall.py", [recall], [], model.key)
    quality = ids.run()
    path = f"semantic_ids_path = {ids.folder.as_posix()!r}"
    model.run(f"train.{path}")
    return quality | test.run(f"evaluate.{path}", f"evaluate.decoder_path = {model.folder.as_posix()!r}")


if __name__ == "__main__":
    sys.exit(config.main(multimodal, description=__doc__))
