"""A pipeline as a folder: complete in itself, verified, and refused where its stages do not fit each other."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline_world import N_USERS, chain, dataset, merged, ranker

from genrec.artifacts import input_ref, read_manifest
from genrec.data.splits import LeaveOneOut
from genrec.errors import ArtifactError, ConfigError
from genrec.features.collaborative import CoOccurrence
from genrec.features.metadata import Genres
from genrec.pipeline import Pipeline
from genrec.pipeline_store import Sources, load_pipeline, save_pipeline
from genrec.preranking import TastePreRanker
from genrec.ranking.prerank import PreRank, save_prerank
from genrec.ranking.store import save_ranker
from genrec.recall.ease import Ease
from genrec.recall.store import KIND, Origin, save_recaller
from genrec.rerank.base import Chain, Reranker
from genrec.rerank.filters import AgeFilter, GenreQuota, SeenFilter
from genrec.rerank.mmr import Mmr
from genrec.rerank.quality import Quality
from genrec.stages import Settings
from genrec.tokenizer.semantic_ids import catalogue_hash

DATA = dataset()
SPLIT = LeaveOneOut()(DATA.interactions)
TASTED = CoOccurrence(width=6).encode(DATA.items, SPLIT.train)
USERS = np.arange(N_USERS, dtype=np.int32)


def trained(folder: Path, split_hash: str = SPLIT.hash) -> Sources:
    """The stages as their scripts write them."""
    for part in ("valid", "test"):
        origin = Origin.of(DATA, SPLIT, part)  # type: ignore[arg-type]
        recaller = merged().fit(SPLIT.before(part), DATA.items)  # type: ignore[arg-type]
        save_recaller(folder / "recall-two" / part, recaller, origin, rerun="train the recaller")
    inputs = {
        "dataset": input_ref(DATA.name, DATA.content_hash),
        "split": input_ref("loo", split_hash),
    }
    save_ranker(
        folder / "rank",
        ranker(DATA, SPLIT.train),
        inputs=inputs,
        catalogue=catalogue_hash(DATA.items),
        rerun="train the ranker",
    )
    torch.manual_seed(0)
    model = PreRank(TASTED.width, hidden=(4,))
    torch.nn.init.normal_(model.rest[-1].weight)  # type: ignore[arg-type]
    valid = read_manifest(folder / "recall-two/valid", KIND)
    inputs |= {
        "features": input_ref(TASTED.encoder, TASTED.digest),
        "recaller": input_ref("valid", valid.identity),
    }
    save_prerank(
        folder / "prerank", model, config="", inputs=inputs, metrics={}, rerun="train the pre-ranker"
    )
    return Sources(folder / "recall-two", folder / "rank", folder / "prerank")


def save(folder: Path, sources: Sources, part: str = "test", reranker: Reranker | None = None) -> None:
    save_pipeline(
        folder,
        sources,
        DATA,
        SPLIT,
        part,  # type: ignore[arg-type]
        features=Genres().encode(DATA.items, SPLIT.train),
        tasted=TASTED if sources.preranker else None,
        reranker=reranker or chain(),
        settings=Settings(topk_recall=12, keep=9, rank_weight=0.4, clock="user"),
        rerun="build the pipeline",
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Never changed: stages, and the pipelines of both parts."""
    home = tmp_path_factory.mktemp("made")
    sources = trained(home)
    for part in ("valid", "test"):
        save(home / "pipeline" / part, sources, part)
    return home


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    """A copy of everything."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def lists(pipeline: Pipeline) -> list[list[int]]:
    found: list[list[int]] = pipeline.recommend(USERS, 6).items.tolist()
    return found


def test_a_copy_elsewhere_answers_alike_without_the_originals(made: Path, tmp_path: Path) -> None:
    expected = load_pipeline(made / "pipeline/test", split=SPLIT, part="test")
    elsewhere = Path(shutil.copytree(made / "pipeline/test", tmp_path / "other machine"))
    hidden = made.rename(made.with_name("hidden"))
    try:
        again = load_pipeline(elsewhere)
        assert lists(again) == lists(expected)
        assert again.settings == Settings(topk_recall=12, keep=9, rank_weight=0.4, clock="user")
        assert isinstance(again.reranker, Chain)
        assert isinstance(again.preranker, TastePreRanker)
        one, other = (p.recommend_for_user("u3", 12, 5, 0.5).to_json()["items"] for p in (again, expected))
        assert one == other
        assert one[0]["genres"]
    finally:
        hidden.rename(made)


def test_it_knows_what_precedes_its_part(made: Path) -> None:
    for part in ("valid", "test"):
        loaded = load_pipeline(made / "pipeline" / part)
        before = SPLIT.before(part)  # type: ignore[arg-type]
        np.testing.assert_array_equal(loaded.world.log.items, before.items)
        assert loaded.world.log.timestamps is not None
        assert loaded.ranker is not None
        np.testing.assert_array_equal(loaded.ranker.schema.log.events.items, before.items)


def test_without_ranker_and_features(made: Path, tmp_path: Path) -> None:
    save_pipeline(tmp_path, Sources(made / "recall-two"), DATA, SPLIT, "test")
    loaded = load_pipeline(tmp_path)
    stages = (loaded.ranker, loaded.preranker, loaded.reranker, loaded.world.features)
    assert stages == (None, None, None, None)
    recalled = merged().fit(SPLIT.before("test"), DATA.items).recommend(USERS[:5], 6)
    np.testing.assert_array_equal(loaded.recommend(USERS[:5], 6).items, recalled.items)


def test_another_split_or_part_is_refused(made: Path) -> None:
    other = LeaveOneOut(seed=1)(DATA.interactions)
    folder = made / "pipeline/test"
    with pytest.raises(ArtifactError, match=r"made from split .* run `build the pipeline` again"):
        load_pipeline(folder, split=replace(other, hash="0" * 64))
    with pytest.raises(ArtifactError, match="is for the part 'test'"):
        load_pipeline(folder, split=SPLIT, part="valid")
    with pytest.raises(ArtifactError, match="no pipeline artifact"):
        load_pipeline(made / "nothing")


def test_a_stage_of_another_split_is_refused_by_name(tmp_path: Path) -> None:
    sources = trained(tmp_path, split_hash="e" * 64)
    with pytest.raises(ArtifactError, match=r"the ranker in .* was made from split .*`train the ranker`"):
        save(tmp_path / "pipeline", Sources(sources.recaller, sources.ranker))
    with pytest.raises(ArtifactError, match=r"the preranker in .* was made from split"):
        save(tmp_path / "pipeline", sources)
    assert not (tmp_path / "pipeline").exists()


def test_a_stage_of_another_dataset_is_refused_by_name(made: Path, tmp_path: Path) -> None:
    changed = replace(DATA, content_hash="f" * 64)
    with pytest.raises(
        ArtifactError, match=r"the recaller in .* was made from dataset .*`train the recaller`"
    ):
        save_pipeline(tmp_path, Sources(made / "recall-two"), changed, SPLIT, "test")


def test_a_recaller_of_other_events_is_refused(copy: Path, tmp_path: Path) -> None:
    shutil.rmtree(copy / "recall-two/test")
    (copy / "recall-two/valid").rename(copy / "recall-two/test")
    with pytest.raises(ArtifactError, match=r"made from events .*before valid"):
        save_pipeline(tmp_path / "new", Sources(copy / "recall-two"), DATA, SPLIT, "test")


def test_a_pre_ranker_of_another_recaller_or_other_features_is_refused(made: Path, tmp_path: Path) -> None:
    prerank, rank = made / "prerank", made / "rank"
    with pytest.raises(ArtifactError, match=r"made from features .*`train the pre-ranker`"):
        save_pipeline(tmp_path, Sources(made / "recall-two", rank, prerank), DATA, SPLIT, "test")
    other = Path(shutil.copytree(made / "recall-two", tmp_path / "recall-other"))
    shutil.rmtree(other / "valid")
    recaller = Ease(l2=9.0).fit(SPLIT.train, DATA.items)
    save_recaller(other / "valid", recaller, Origin.of(DATA, SPLIT, "valid"))
    with pytest.raises(ArtifactError, match=r"made from recaller .*`train the pre-ranker`"):
        save(tmp_path / "new", Sources(other, rank, prerank))


def test_every_re_ranker_comes_back(made: Path, tmp_path: Path) -> None:
    stages = (
        SeenFilter(),
        AgeFilter(min_year=1985, max_days=1000.0),
        Quality(0.2),
        Mmr(0.7),
        GenreQuota({"War": 1}),
    )
    save(tmp_path, Sources(made / "recall-two"), reranker=Chain(stages))
    loaded = load_pipeline(tmp_path).reranker
    assert isinstance(loaded, Chain)
    for one, other in zip(loaded.stages, stages, strict=True):
        assert type(one) is type(other)
        assert {k: v for k, v in vars(one).items() if k != "_scaled"} == {
            k: v for k, v in vars(other).items() if k != "_scaled"
        }


def test_a_missing_stage_says_what_makes_it(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"train_ranker\.py"):
        save(tmp_path, Sources(made / "recall-two", made / "gone"))
    with pytest.raises(ArtifactError, match=r"train_recall\.py"):
        save(tmp_path, Sources(made / "gone"))


def test_a_stage_that_was_swapped_is_stale(copy: Path) -> None:
    folder = copy / "pipeline"
    shutil.rmtree(folder / "test/recaller")
    shutil.copytree(folder / "valid/recaller", folder / "test/recaller")
    with pytest.raises(ArtifactError, match=r"made from recaller .* run `build the pipeline` again"):
        load_pipeline(folder / "test")


@pytest.mark.parametrize("pattern", ["log-*", "items-*", "features-*", "recaller/*.npy", "ranker/model-*"])
def test_damage_is_found(copy: Path, pattern: str) -> None:
    folder = copy / "pipeline/test"
    file = next(iter(sorted(folder.glob(pattern))))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="changed or damaged"):
        load_pipeline(folder)


def test_settings_of_another_version_are_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def strange(**values: object) -> Settings:
        raise TypeError(f"unexpected {values}")

    monkeypatch.setattr("genrec.pipeline_store.Settings", strange)
    with pytest.raises(ArtifactError, match="does not fit this version"):
        load_pipeline(copy / "pipeline/test")


def test_building_again_leaves_nothing_of_before(copy: Path) -> None:
    folder = copy / "pipeline/test"
    before = {path.name for path in folder.rglob("*")}
    save(folder, Sources(copy / "recall-two", copy / "rank"), reranker=Mmr(0.4))
    after = {path.name for path in folder.rglob("*")}
    assert len(after) == len(before)
    assert len(after - before) == 1, "the settings"
    loaded = load_pipeline(folder)
    assert isinstance(loaded.reranker, Mmr)
    assert loaded.reranker.lambda_mmr == 0.4


def test_a_re_ranker_that_forgets_its_arguments_is_refused_before_anything_is_written(
    made: Path, tmp_path: Path
) -> None:
    reranker = Mmr()
    del reranker.scale
    with pytest.raises(ConfigError, match="does not keep its argument scale"):
        save(tmp_path / "pipeline", Sources(made / "recall-two"), reranker=reranker)
    assert not (tmp_path / "pipeline").exists()
