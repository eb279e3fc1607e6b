"""Figures against numbers worked by hand, calibration, and the evaluate command."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from click.testing import CliRunner

from streamfilter.distort import Distortion
from streamfilter.errors import InputError
from tests.labelled import write_labels
from trainer.__main__ import main
from trainer.dataset import Row
from trainer.evaluate import evaluate, judge_held_back, markdown, task_figures
from trainer.metrics import cross_fitted, expected_calibration_error, figures, fit_platt, quality_oracle
from trainer.runs import TrainConfig
from trainer.tables import read_table
from trainer.train import train

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("labelled")
    labels = write_labels(root, 12)
    config = TrainConfig(
        labels=(str(labels),), tasks=("classification",), model="mobilenet_v3_small", input_size=32, epochs=1,
        batch_size=16, threads=1, cache_mb=16, balance="none", holdout=0.4,
    )  # fmt: skip
    assert train(config, root / "run")
    return root / "run"


def rows(*qualities: float | None, source: str = "a") -> list[Row]:
    distortions = [Distortion("pristine") if one is None else Distortion("jpeg", one) for one in qualities]
    return [Row(Path("p"), f"{source}.png", source, "dev", one, 0, (1.0,)) for one in distortions]


def test_figures_of_worked_numbers():
    found = figures(np.array([0.9, 0.8, 0.4, 0.2, 0.6]), np.array([1, 1, 1, 0, 0]))
    assert (found["n0"], found["n1"]) == (2, 3)
    assert found["accuracy"] == pytest.approx(3 / 5)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["auroc"] == pytest.approx(5 / 6)
    assert found["auprc"] == pytest.approx((1 / 1 + 2 / 2 + 3 / 4) / 3)


def test_figures_of_one_class_are_none_where_they_need_two():
    found = figures(np.array([0.9, 0.4]), np.array([1, 1]))
    assert found["accuracy"] == 0.5
    assert [found[name] for name in ("balanced_accuracy", "auroc", "auprc")] == [None, None, None]


def test_calibration_error_of_worked_numbers():
    probabilities, labels = np.array([0.05, 0.05, 0.95, 1.0]), np.array([0, 1, 1, 1])
    assert expected_calibration_error(probabilities, labels) == pytest.approx((0.9 + 0.05) / 4)


def test_the_oracle_takes_the_best_quality():
    found = quality_oracle(np.array([1, 2, 5, 8, 101.0]), np.array([0, 1, 0, 1, 1]))
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["threshold"] == 8
    assert found["auroc"] == pytest.approx(5 / 6)


def test_calibration_finds_scale_and_bias():
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, 20000)
    labels = (random.random(20000) < 1 / (1 + np.exp(-(0.5 * logits - 1)))).astype(float)
    scale, bias = fit_platt(logits, labels)
    assert scale == pytest.approx(0.5, abs=0.03)
    assert bias == pytest.approx(-1, abs=0.06)


def test_calibration_stays_finite_on_separable_rows_and_keeps_the_order():
    scale, bias = fit_platt(np.array([-2.0, -1, 1, 2]), np.array([0.0, 0, 1, 1]))
    assert 0 < scale < 100
    assert math.isfinite(bias)
    assert fit_platt(np.array([2.0, 1, -1, -2]), np.array([0.0, 0, 1, 1]))[0] > 0


def test_no_row_calibrates_itself():
    logits, labels = np.array([0.0, 1, 2, 3, 0, 1, 2, 3]), np.array([0, 0, 1, 1, 0, 1, 0, 1])
    first = np.arange(8) < 4
    found = cross_fitted(logits, labels, first)
    scale, bias = fit_platt(logits[4:], labels[4:])
    assert found[:4] == pytest.approx(1 / (1 + np.exp(-(scale * logits[:4] + bias))))


def test_figures_at_each_quality():
    found = task_figures(np.array([0.1, 0.7, 0.9, 0.8]), np.array([0, 0, 1, 1], np.float32), rows(1, 5, None, None))
    assert [(part["quality"], part["n0"], part["n1"], part["accuracy"]) for part in found["by_quality"]] == [
        (1, 1, 0, 1),
        (5, 1, 0, 0),
        (None, 0, 2, 1),
    ]
    assert found["quality_oracle"]["threshold"] == 101


def test_held_back_rows_give_each_task_its_calibration():
    some = [one for index in range(40) for one in rows(1, 50, source=f"{index:064x}")]
    labelled = [
        Row(one.images, one.picture, one.content_hash, "dev", one.distortion, 0, (float(one.quality > 9), math.nan))
        for one in some
    ]
    extra = [replace(one, labels=(math.nan, 1.0)) for one in some[:2]]
    logits = np.array([[2.0 if one.quality > 9 else -2.0, 1.0] for one in [*labelled, *extra]], np.float32)
    (scales, biases), judged = judge_held_back(logits, [*labelled, *extra], ["classification", "detection"])
    assert len(scales) == len(biases) == 2
    assert judged["classification"]["auroc"] == 1
    assert judged["classification"]["sources"] == 40
    assert (judged["detection"]["n0"], judged["detection"]["n1"]) == (0, 2)
    assert "| detection | 2 / 0 | 1.000 | - | - | - |" in markdown(judged)


def test_training_sources_are_refused(run):
    with pytest.raises(InputError, match="were trained on"):
        evaluate(run, [str(run.parent / "labels")], "test")


def test_tables_without_a_label_are_refused(run, tmp_path):
    labels = write_labels(tmp_path, 4, first=100)
    table = read_table(labels / "classification.parquet")
    place = table.column_names.index("reference_class")
    unknown = pa.array([-1] * table.num_rows, pa.int32())
    pq.write_table(table.set_column(place, table.schema.field(place), unknown), labels / "classification.parquet")
    with pytest.raises(InputError, match=r"no classification row of .* has a label"):
        evaluate(run, [str(labels)], "empty")
    assert "empty" not in json.loads((run / "metrics.json").read_text())


def test_the_command_judges_other_pictures_even_of_the_test_split(run, tmp_path):
    labels = write_labels(tmp_path, 4, first=100, test=range(100, 104))
    before = json.loads((run / "metrics.json").read_text())
    done = CliRunner().invoke(main, ["evaluate", str(run), "--labels", str(labels), "--name", "other"])
    assert done.exit_code == 0, done.output
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["held_back"] == before["held_back"]
    found = metrics["other"]["tasks"]["classification"]
    assert found["n0"] + found["n1"] == 16
    assert metrics["other"]["labels"][0]["networks"] == ["detail"]
    assert f"| classification | {found['n1']} / {found['n0']} | {found['accuracy']:.3f} |" in done.stdout
    kept = CliRunner().invoke(main, ["evaluate", str(run), "--labels", str(labels), "--name", "held_back"])
    assert kept.exit_code == 2
