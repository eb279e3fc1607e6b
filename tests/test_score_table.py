"""`python -m trainer score`: label tables -> distorted pictures -> a table of scores."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from streamfilter.distort import PRISTINE, Distortion, apply
from streamfilter.errors import ConfigError, InputError, InputNotFoundError, ModelError, OutputError
from tests.labelled import QUALITIES, write_labels
from tests.models import brightness_model
from tests.tiny_networks import colour_classifier
from trainer import parts as parts_room
from trainer import score as score_room
from trainer.__main__ import main
from trainer.parts import Parts
from trainer.pictures import read_picture
from trainer.rivals import RIVALS, Case
from trainer.runs import RunFolder, TrainConfig
from trainer.score import ScoreJob, score
from trainer.score_table import read_scores, score_columns
from trainer.tables import METADATA_KEY, schema
from trainer.train import train

COUNT = 3
KEYS = ["picture", "content_hash", "split", "distortion", "strength", "images"]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Labels of three pictures by one classifier, and of the first two of them by a detector that saw quality 7 too."""
    folder = write_labels(tmp_path, COUNT, test=[2])
    records = pq.read_table(folder / "classification.parquet").to_pylist()
    kept = [record for record in records if record["picture"] != "p2.png"]
    kept += [{**record, "distortion": "jpeg", "strength": 7.0} for record in kept if record["distortion"] == PRISTINE]
    outcome = {"boxes": [], "scores": [], "category_ids": [], "truth_boxes": [], "truth_category_ids": []}
    metadata = {"task": "detection", "images": str(tmp_path / "pictures"), "settings": {}, "skipped": []}
    table = schema("detection", metadata)
    rows = [{**{name: record[name] for name in table.names if name in record}, **outcome} for record in kept]
    pq.write_table(pa.Table.from_pylist(rows, schema=table), folder / "detection.parquet")
    return folder


def job_of(labels: Path, **changes: object) -> ScoreJob:
    settings = {"rivals": ("variance_of_laplacian", "bits_per_pixel"), "workers": 2, **changes}
    return ScoreJob((labels,), labels.parent / "scores.parquet", **settings)  # type: ignore[arg-type]


def test_every_distinct_picture_has_a_row(labels: Path) -> None:
    job = job_of(labels)
    assert score(job) == []
    table = read_scores(job.out)
    assert table.column_names == [*KEYS, "variance_of_laplacian", "bits_per_pixel"]
    found = [(row["picture"], row["distortion"], row["strength"]) for row in table.to_pylist()]
    wanted = {(f"p{index}.png", "jpeg", float(quality)) for index in range(COUNT) for quality in QUALITIES}
    wanted |= {(f"p{index}.png", PRISTINE, None) for index in range(COUNT)}
    wanted |= {("p0.png", "jpeg", 7.0), ("p1.png", "jpeg", 7.0)}
    assert len(found) == len(set(found))
    assert set(found) == wanted


def test_scores_are_those_of_the_distorted_picture(labels: Path, tmp_path: Path) -> None:
    network, model = colour_classifier(tmp_path / "colour.onnx"), brightness_model(tmp_path / "bright.onnx")
    job = job_of(labels, rivals=tuple(RIVALS), energy_network=network, models=(str(model),))
    assert score(job) == []
    table = read_scores(job.out)
    assert score_columns(table) == [
        *RIVALS,
        "energy",
        "fisher_information",
        "bright:classification",
        "bright:detection",
    ]
    assert {str(table.schema.field(name).type) for name in score_columns(table)} == {"double"}
    for row in table.to_pylist():
        pristine, content_hash = read_picture(Path(row["images"]) / row["picture"])
        distortion = Distortion(row["distortion"], row["strength"])
        case = Case(apply(pristine, distortion), pristine, distortion)
        assert row["content_hash"] == content_hash
        assert row["split"] == ("test" if row["picture"] == "p2.png" else "dev")
        assert {name: row[name] for name in RIVALS} == {name: rival.score(case) for name, rival in RIVALS.items()}
        assert row["bright:detection"] == row["bright:classification"]
        assert row["bright:detection"] == pytest.approx(case.rgb.mean() / 255, abs=0.01)
        assert np.isfinite(row["energy"])


def test_two_folders_are_one_table(labels: Path, tmp_path: Path) -> None:
    other = write_labels(tmp_path / "more", 1, first=7)
    job = ScoreJob((labels, other, labels), tmp_path / "scores.parquet", rivals=("bits_per_pixel",), workers=1)
    assert score(job) == []
    table = read_scores(job.out)
    assert table.num_rows == COUNT * (1 + len(QUALITIES)) + 2 + 1 + len(QUALITIES)
    assert set(table["images"].to_pylist()) == {str(tmp_path / "pictures"), str(tmp_path / "more" / "pictures")}


def test_augmented_rows_are_left_out(labels: Path) -> None:
    path = labels / "classification.parquet"
    table = pq.read_table(path)
    augmented = table.filter(pc.equal(table["picture"], "p0.png"))
    seeds = pa.array([5] * augmented.num_rows, pa.int32())
    augmented = augmented.set_column(table.column_names.index("augmentation"), "augmentation", seeds)
    pq.write_table(pa.concat_tables([table, augmented]), path)
    job = job_of(labels)
    score(job)
    assert read_scores(job.out).num_rows == COUNT * (1 + len(QUALITIES)) + 2


def test_only_what_a_run_held_back(labels: Path, tmp_path: Path) -> None:
    hashes = pq.read_table(labels / "classification.parquet", filters=[("picture", "=", "p1.png")])["content_hash"]
    run = RunFolder(tmp_path / "run")
    run.root.mkdir()
    run.write_json("split.json", {"training": [], "held_back": [hashes[0].as_py()]})
    job = job_of(labels, held_back=run.root)
    score(job)
    assert set(read_scores(job.out)["picture"].to_pylist()) == {"p1.png"}
    run.write_json("split.json", {"training": [], "held_back": ["of another picture"]})
    with pytest.raises(InputError, match="held back no picture of these label tables"):
        score(job_of(labels, held_back=run.root))
    run.write_json("split.json", {})
    with pytest.raises(ModelError, match=r"split\.json lacks the two sides; train again with --fresh"):
        score(job_of(labels, held_back=run.root))


def test_goes_on_where_it_was_interrupted(labels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ScoreJob((labels,), tmp_path / "whole.parquet", rivals=("bits_per_pixel",), workers=1)
    score(whole)
    monkeypatch.setattr(parts_room, "PICTURES_PER_PART", 1)
    job = job_of(labels, rivals=("bits_per_pixel",), workers=1)
    write = Parts.write

    def write_once(parts: Parts, index: int, table: pa.Table) -> None:
        if index == 1:
            raise OutputError("disk full")
        write(parts, index, table)

    monkeypatch.setattr(Parts, "write", write_once)
    with pytest.raises(OutputError, match="disk full"):
        score(job)
    assert not job.out.exists()
    asked: list[str] = []

    def note(source: object, scorers: object) -> object:
        asked.append(source.picture)  # type: ignore[attr-defined]
        return rows_of(source, scorers)  # type: ignore[arg-type]

    rows_of = score_room._rows_of
    monkeypatch.setattr(score_room, "_rows_of", note)
    monkeypatch.setattr(Parts, "write", write)
    assert score(job) == []
    assert asked == ["p1.png", "p2.png"]
    assert read_scores(job.out).to_pylist() == read_scores(whole.out).to_pylist()
    assert not list(tmp_path.glob(".scores*"))


def test_a_finished_table_is_not_made_again_nor_mistaken(labels: Path) -> None:
    job = job_of(labels)
    score(job)
    before = job.out.stat().st_mtime_ns
    assert score(job) == []
    assert job.out.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="other pictures or models"):
        score(job_of(labels, rivals=("bits_per_pixel",)))


def test_an_unfinished_table_of_other_settings_is_refused(labels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(parts: Parts, index: int, table: pa.Table) -> None:
        raise OutputError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Parts, "write", fail)
        with pytest.raises(OutputError):
            score(job_of(labels))
    with pytest.raises(ConfigError, match="other settings"):
        score(job_of(labels, rivals=("bits_per_pixel",)))


def test_broken_and_changed_pictures_are_named(labels: Path) -> None:
    pictures = labels.parent / "pictures"
    (pictures / "p0.png").write_bytes(b"no picture")
    (pictures / "p1.png").write_bytes((pictures / "p2.png").read_bytes())
    out = labels.parent / "scores.parquet"
    arguments = ["score", "--labels", str(labels), "--out", str(out), "--rival", "bits_per_pixel", "--workers", "1"]
    for _ in range(2):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 1
        assert "2 pictures could not be scored" in done.stderr
        assert "p0.png cannot be decoded" in done.stderr
        assert "p1.png has changed since it was labelled" in done.stderr
    table = read_scores(out)
    assert set(table["picture"].to_pylist()) == {"p2.png"}
    assert len(json.loads(table.schema.metadata[METADATA_KEY])["skipped"]) == 2


def test_the_command_scores_with_a_shipped_model(labels: Path) -> None:
    out = labels.parent / "scores.parquet"
    arguments = ["score", "--labels", str(labels), "--out", str(out), "--no-rivals", "--model", "utility-resnet18"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    table = read_scores(out)
    assert score_columns(table) == ["utility-resnet18:classification", "utility-resnet18:detection"]
    values = np.array([table[name].to_numpy() for name in score_columns(table)])
    assert ((values >= 0) & (values <= 1)).all()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"rivals": ()}, ConfigError, "at least one"),
        ({"rivals": ("taste",)}, ConfigError, "unknown rivals taste"),
        ({"rivals": ("brisque", "brisque")}, ConfigError, "different names"),
        ({"models": ("none",)}, ModelError, "no model none"),
        ({"energy_network": Path("none.onnx")}, ModelError, "does not exist"),
    ],
)
def test_bad_jobs_are_refused(labels: Path, changes: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        score(job_of(labels, **changes))


def test_bad_files_are_refused(labels: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must end in \.parquet"):
        score(ScoreJob((labels,), tmp_path / "scores.csv"))
    with pytest.raises(InputNotFoundError, match="no label table"):
        score(ScoreJob((tmp_path,), tmp_path / "scores.parquet"))
    not_a_model = colour_classifier(tmp_path / "colour.onnx")
    with pytest.raises(ModelError, match="not a utility model"):
        score(job_of(labels, models=(str(not_a_model),)))
    with pytest.raises(InputNotFoundError, match="no score table"):
        read_scores(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="not a score table"):
        read_scores(labels / "classification.parquet")
    (labels / "detection.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"detection\.parquet cannot be read"):
        score(job_of(labels))


def test_a_run_also_says_what_it_thinks_of_each_labelling_network(tmp_path):
    labels = write_labels(tmp_path, 12)
    config = TrainConfig(
        labels=(str(labels),), tasks=("classification",), model="nano", front="unit", target="confidence",
        balance="none", input_size=32, epochs=1, batch_size=8, threads=1, cache_mb=4, holdout=0.4,
    )  # fmt: skip
    assert train(config, tmp_path / "tiny")
    score(ScoreJob((labels,), tmp_path / "scores.parquet", runs=(f"small={tmp_path / 'tiny'}",), rivals=(), workers=1))
    table = read_scores(tmp_path / "scores.parquet")
    assert score_columns(table) == ["small:classification", "small:classification:detail"]
    for name in score_columns(table):
        values = table[name].to_numpy()
        assert ((values >= 0) & (values <= 1)).all()
