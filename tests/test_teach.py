"""Teaching: what a trained network says of crops becomes a table, goes on when stopped, and is learned from."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from streamfilter.distort import Distortion, apply
from streamfilter.errors import ConfigError, InputError, ModelError
from streamfilter.preprocess import shrink
from tests.labelled import write_labels
from trainer.__main__ import main
from trainer.augment import augment
from trainer.dataset import load_tables, load_taught, network_names
from trainer.models import load
from trainer.pictures import read_picture
from trainer.prepare import prepare
from trainer.runs import RunFolder, TrainConfig
from trainer.taught import column, read_taught
from trainer.teach import TeachJob, teach
from trainer.train import train

torch.set_num_threads(1)

SIZE = 64
LEARN = TrainConfig(
    ("labels",), ("classification",), target="confidence", model="nano", front="unit", balance="none",
    input_size=SIZE, epochs=1, batch_size=8, holdout=0.3, threads=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labels(tmp_path_factory.mktemp("teach"), 12)


@pytest.fixture(scope="module")
def teacher(labels: Path) -> Path:
    run = labels.parent / "teacher"
    assert train(replace(LEARN, labels=(str(labels),)), run)
    return run


@pytest.fixture
def job(labels: Path, teacher: Path, tmp_path: Path) -> TeachJob:
    images = labels.parent / "pictures"
    return TeachJob(
        teacher, images, tmp_path / "taught", images / "labels.csv", sample=2, augmented=3, split="dev", workers=1
    )


def test_a_taught_table_holds_what_the_teacher_says(job, teacher):
    assert teach(job) == []
    rows = read_taught(job.out / "taught.parquet").to_pylist()
    assert len(rows) == 12 * 3 * 2
    net = load(teacher)
    ((task, network),) = net.networks
    for row in rows[:: len(rows) // 5]:
        crop = augment(read_picture(job.images / row["picture"])[0], row["augmentation"])[0]
        shown = apply(crop, Distortion(row["distortion"], row["strength"]))
        small = torch.from_numpy(shrink(np.ascontiguousarray(shown), SIZE)[np.newaxis])
        with torch.inference_mode():
            said = torch.sigmoid(net.all_logits(small))[0, 1].item()
        assert row[column(task, network)] == pytest.approx(said, abs=1e-4)
    assert len({row["augmentation"] for row in rows}) == 12 * 3
    assert len({row["distortion"] for row in rows}) > 10


def test_a_stopped_table_goes_on(job, tmp_path, monkeypatch):
    teach(job)
    whole = read_taught(job.out / "taught.parquet")
    monkeypatch.setattr("trainer.parts.PICTURES_PER_PART", 5)
    seen: list[Path] = []

    def stopped(path: Path) -> object:
        seen.append(path)
        if len(seen) > 7:
            raise KeyboardInterrupt
        return read_picture(path)

    again = replace(job, out=tmp_path / "again")
    monkeypatch.setattr("trainer.teach.read_picture", stopped)
    with pytest.raises(KeyboardInterrupt):
        teach(again)
    monkeypatch.setattr("trainer.teach.read_picture", read_picture)
    assert not (again.out / "taught.parquet").exists()
    teach(again)
    assert read_taught(again.out / "taught.parquet").equals(whole)
    with pytest.raises(ConfigError, match=r"augmented was 3, now 2"):
        teach(replace(again, augmented=2))


def test_a_picture_that_cannot_be_decoded_is_skipped_and_told(job, teacher, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.png").write_bytes((job.images / "p0.png").read_bytes())
    (folder / "b.png").write_bytes(b"no picture")
    words = ["--images", folder, "--teacher", teacher, "--out", tmp_path / "out", "--distortions", "jpeg noise"]
    answer = CliRunner().invoke(main, ["teach", *map(str, words)])
    assert answer.exit_code == 1
    assert "1 pictures could not be decoded" in answer.stderr
    assert "b.png cannot be decoded" in answer.stderr
    rows = read_taught(tmp_path / "out" / "taught.parquet").to_pylist()
    assert {row["picture"] for row in rows} == {"a.png"}
    assert {row["distortion"] for row in rows} <= {"jpeg", "noise"}


def test_only_a_finished_run_that_learned_confidences_teaches(job, labels, tmp_path):
    with pytest.raises(ModelError, match="is missing"):
        teach(replace(job, teacher=tmp_path / "nothing"))
    run = tmp_path / "labels-only"
    assert train(replace(LEARN, labels=(str(labels),), target="label"), run)
    with pytest.raises(ConfigError, match="learned labels, not confidences"):
        teach(replace(job, teacher=run))


def test_a_label_table_is_no_taught_one(labels, tmp_path):
    (tmp_path / "taught.parquet").write_bytes((labels / "classification.parquet").read_bytes())
    with pytest.raises(InputError, match="is not a taught table"):
        load_taught(tmp_path / "taught.parquet", ("classification",))


def test_what_is_taught_is_learned_beside_the_labels_and_never_judged_on(job, labels, tmp_path):
    teach(job)
    folders = (str(labels), str(job.out))
    networks = network_names(folders, ("classification",))
    tables = load_tables(folders, ("classification",), networks)
    assert [table.task for table in tables] == ["classification", "taught"]
    config = replace(LEARN, labels=folders)
    data = prepare(config, tables, tmp_path, networks=networks)
    taught = [row for row in data.training if row.augmentation]
    held = {row.content_hash for row in data.held}
    assert len(taught) == 6 * (12 - len(held))
    assert all(math.isnan(row.labels[0]) and 0 < row.confidences[0] < 1 for row in taught)
    assert not [row for row in data.held if row.augmentation]
    assert not held & {row.content_hash for row in taught}
    assert train(config, tmp_path / "student")
    command = RunFolder(tmp_path / "student").read_json("run.json")["labels"][1]["command"]
    assert command.startswith("python -m trainer teach --teacher ")
