"""Put tokenizers side by side: quality of their ids, and recall of the same small decoder trained on each.

    python experiments/compare_tokenizers.py configs/rqvae_ml100k.gin configs/product_ml100k.gin \\
        configs/random_ml100k.gin --decoder configs/decoder_ml100k.gin --gin "train.iterations=150"

A tokenizer is one or more gin files of train_rqvae.py, joined by +, with a name in front if it shall have one:
pq=configs/rqvae_custom.gin+configs/model/product.gin. Each is trained by train_rqvae.py, and a decoder on its ids by
train_decoder.py; what is finished is not repeated, and what was killed goes on. Recall is that on validation; --test
adds the test part. Writes metrics.json, metrics.csv and tokenizers.html to --out.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from genrec import __version__
from genrec.artifacts import Manifest, read_manifest
from genrec.config.parts import Part, PartFailed, named_configs
from genrec.errors import ArtifactError, GenrecError
from genrec.evaluation.tokenizer_comparison import Candidate, text_table, write_comparison
from genrec.features.store import KIND as FEATURES
from genrec.tokenizer.store import KIND as IDS

K = 10  # cut-off of the figures


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizers", nargs="+", metavar="[NAME=]CONFIG[+CONFIG]", help="of train_rqvae.py")
    parser.add_argument("--decoder", required=True, metavar="CONFIG", help="of train_decoder.py")
    parser.add_argument(
        "--gin", action="append", default=[], metavar="BINDING", help="for every decoder: its size and budget"
    )
    parser.add_argument(
        "--tokenizer-gin", action="append", default=[], metavar="BINDING", help="for every tokenizer"
    )
    parser.add_argument(
        "--test", metavar="CONFIG", help="of experiments/evaluate_recall.py: judge the test part with it, too"
    )
    parser.add_argument("--out", type=Path, default=Path("out/tokenizers"), help="default: %(default)s")
    return parser.parse_args()


def candidate(name: str, configs: Sequence[str], given: argparse.Namespace) -> tuple[Candidate, Manifest]:
    """Train a tokenizer, a decoder on its ids, and judge it."""
    home = given.out / name
    tokenizer = Part.of(home, "tokenizer", "train_rqvae.py", configs, given.tokenizer_gin)
    tokenizer.run()
    manifest = read_manifest(tokenizer.folder, IDS)
    ids = f"train.semantic_ids_path = {str(tokenizer.folder)!r}"
    decoder = Part.of(home, "decoder", "train_decoder.py", [given.decoder], given.gin, tokenizer.key)
    recall = decoder.run(ids)
    if given.test:
        test = Part.of(home, "test", "experiments/evaluate_recall.py", [given.test], [], decoder.key)
        judged = test.run(
            "evaluate.recallers = {}",
            f"evaluate.semantic_ids_path = {str(tokenizer.folder)!r}",
            f"evaluate.decoder_path = {str(decoder.folder)!r}",
        )
        recall |= {key: value for key, value in judged.items() if key.startswith("test/")}
    below = tokenizer.folder / Path(manifest.inputs["item_features"]["path"]).name
    sizes = manifest.facts["sizes"]
    one = Candidate(
        name,
        ids=f"{manifest.facts['tokenizer']} {len(sizes)} x {max(sizes)}",
        features=str(read_manifest(below, FEATURES).facts["encoder"]),
        quality=manifest.metrics,
        recall=recall,
    )
    return one, manifest


def main() -> int:
    """Run all parts and write the comparison; exit code 2 where one of them failed."""
    given = arguments()
    candidates: list[Candidate] = []
    inputs: dict[str, str] = {}
    try:
        for name, configs in named_configs(given.tokenizers).items():
            try:
                one, manifest = candidate(name, configs, given)
            except PartFailed as failure:
                candidates.append(Candidate(name, failure=str(failure)))
                continue
            mine = {part: manifest.inputs[part]["hash"] for part in ("dataset", "split")}
            inputs = inputs or mine
            if mine != inputs:
                raise ArtifactError(
                    f"{name} is of another dataset or split than the tokenizers before; compare like"
                )
            candidates.append(one)
    except GenrecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    facts = {
        "Decoder": " ".join([given.decoder, *given.gin]),
        "Tokenizers": " ".join([*given.tokenizers, *given.tokenizer_gin]),
        "Split": inputs.get("split", ""),
        "Code version": __version__,
        "Created": time.strftime("%Y-%m-%d %H:%M"),
    }
    page = write_comparison(given.out, candidates, K, "Tokenizers compared", facts)
    print(f"{text_table(candidates, K)}\n\nreport: {page}")
    return 2 if any(one.failure for one in candidates) else 0


if __name__ == "__main__":
    sys.exit(main())
