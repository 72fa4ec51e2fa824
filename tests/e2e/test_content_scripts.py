"""Do posters help, and what do the codes mean: both scripts on the small world, with posters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from scripts_in_child import run
from tiny_world import N_ITEMS, make_world

FILES = {
    "content.gin": """
include 'kmeans.gin'
from __gin__ import dynamic_registration
import genrec.features.control as control
import genrec.features.fusion as fusion
import genrec.features.metadata as metadata
import genrec.features.text as text
both/fusion.Concat.encoders = [@metadata.Genres(), @text.TfIdf()]
shuffled/control.Shuffled.encoder = @both/fusion.Concat()
train.features = @both/fusion.Concat()
""",
    "recall.gin": """
include 'configs/recall_custom.gin'
evaluate.dataset_folder = 'data'
evaluate.recallers = {}
evaluate.indices = None
evaluate.ks = (5, 10)
evaluate.width = 20
evaluate.widths = (10,)
""",
    "multimodal.gin": """
multimodal.tokenizer = 'content.gin'
multimodal.decoder = 'decoder.gin'
multimodal.recall = 'recall.gin'
multimodal.variants = {'both': [], 'shuffled': ['train.features = @shuffled/control.Shuffled()']}
multimodal.reference = 'both'
multimodal.seeds = (3,)
""",
}
SCRIPT = ("experiments/multimodal.py", "multimodal.gin", "--out", "out/content")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = make_world(tmp_path)
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    return folder


def test_every_variant_has_ids_and_a_model_of_its_own(world: Path) -> None:
    done = run(*SCRIPT, folder=world)
    assert done.code == 0, done.err
    home = world / "out/content"
    for variant in ("0", "1"):
        for stage in ("tokenizer", "decoder", "recall"):
            assert len([path for path in (home / variant).glob(f"{stage}-*") if path.is_dir()]) == 1
    found = json.loads((home / "metrics.json").read_text("utf-8"))
    name = "test/generative/masked/recall@10"
    (judged,) = home.glob("0/recall-*/metrics.json")
    assert found[f"both/{name}"] == json.loads(judged.read_text("utf-8"))[name]
    expected = found[f"shuffled/{name}"] - found[f"both/{name}"]
    assert found[f"shuffled/{name}/minus_both"] == pytest.approx(expected)
    # Shuffled features keep no genre together.
    assert found["both/tokenizer/purity/1"] > found["shuffled/tokenizer/purity/1"] + 0.2
    assert "Do posters help?" in (home / "content.html").read_text("utf-8")

    before = {path: path.stat().st_mtime_ns for path in home.rglob("*/*") if path.is_file()}
    again = run(*SCRIPT, folder=world)
    assert again.code == 0, again.err
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert again.out == done.out


def test_a_part_that_refuses_is_quoted(world: Path) -> None:
    variants = "{'both': ['train.vae_codebook_size = 0']}"
    done = run(*SCRIPT, f"multimodal.variants = {variants}", folder=world)
    assert done.code == 2
    assert "vae_codebook_size" in done.err
    assert "Traceback" not in done.err


def test_the_sheet_shows_posters_below_their_codes(world: Path) -> None:
    (world / "data/posters").mkdir()
    for item in range(N_ITEMS - 2):
        Image.new("RGB", (40, 60), (item * 6, 255 - item * 6, 90)).save(world / f"data/posters/{item}.jpg")
    (world / "data/posters/3.jpg").write_bytes(b"no picture")
    assert run("train_rqvae.py", "kmeans.gin", folder=world).code == 0
    done = run(
        "experiments/contact_sheet.py", "--dataset", "custom", "--dataset-folder", "data", folder=world
    )
    assert done.code == 0, done.err
    page = (world / "out/custom/tokenizer/contact_sheet.html").read_text("utf-8")
    assert f"{N_ITEMS - 2} of {N_ITEMS} items have a picture" in page
    assert page.count("<img ") == N_ITEMS - 3  # one cannot be read
    assert "genre" in page.split("<img ", 1)[0]
