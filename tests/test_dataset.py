"""Rows, the split by source picture, small pictures, and class balance."""

import errno
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from streamfilter.distort import Distortion, apply
from streamfilter.errors import InputError, InputNotFoundError, OutputError, PictureError
from streamfilter.preprocess import shrink
from tests.labelled import QUALITIES, write_labels
from trainer.augment import augment
from trainer.balance import TopUp, class_weights
from trainer.dataset import (
    Row,
    label_array,
    load_tables,
    merge,
    network_names,
    refuse_test,
    split_sources,
    target_array,
)
from trainer.pictures import read_picture
from trainer.views import Pictures, prefetch, vary

TASKS = ("classification", "detection")
SOURCES = [f"{index:064x}" for index in range(2000)]


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labels(tmp_path_factory.mktemp("labelled"), 12)


def row(source: str = "a", labels: tuple[float, ...] = (1.0, math.nan), split: str = "dev", **changes: object) -> Row:
    values = {"distortion": Distortion("jpeg", 5), "augmentation": 0, **changes}
    return Row(Path("pictures"), f"{source}.png", source, split, labels=labels, **values)


def test_a_table_gives_a_row_a_picture_and_distortion(labels):
    (table,) = load_tables([labels], ["classification"])
    assert len(table.rows) == 12 * (1 + len(QUALITIES))
    assert Counter(one.distortion.strength for one in table.rows) == dict.fromkeys((None, *map(float, QUALITIES)), 12)
    pristine = [one for one in table.rows if one.is_pristine]
    assert all(one.labels == (1.0,) and one.quality == 101 for one in pristine)
    assert sum(one.labels == (0.0,) for one in table.rows if one.quality == 1) >= 9


def test_rows_of_one_picture_carry_both_tasks_labels():
    both = merge([row(labels=(1.0, math.nan)), row(labels=(math.nan, 0.0)), row("b", labels=(math.nan, 1.0))])
    assert [one.content_hash for one in both] == ["a", "b"]
    assert both[0].labels == (1.0, 0.0)


def test_rows_differing_in_distortion_or_augmentation_stay_apart():
    rows = [row(), row(distortion=Distortion("jpeg", 8)), row(distortion=Distortion("pristine")), row(augmentation=3)]
    assert len(merge(rows)) == 4


def test_rows_without_a_label_are_left_out():
    assert merge([row(labels=(math.nan, math.nan))]) == []
    assert np.array_equal(label_array([row()], 2), [[1, np.nan]], equal_nan=True)


def test_the_split_holds_back_a_fifth_and_depends_on_the_source_alone():
    held = split_sources(SOURCES, 0.2, seed=0)
    assert 0.17 < len(held) / len(SOURCES) < 0.23
    assert split_sources(reversed(SOURCES[:500]), 0.2, seed=0) == held & set(SOURCES[:500])
    assert split_sources(SOURCES, 0.2, seed=1) != held


def test_test_pictures_are_refused():
    refuse_test([row()])
    with pytest.raises(InputError, match="1 rows are of split `test`"):
        refuse_test([row(), row("b", split="test")])


def test_a_missing_folder_and_a_missing_task_are_named(labels, tmp_path):
    with pytest.raises(InputNotFoundError, match="nothing is not a folder"):
        load_tables([tmp_path / "nothing"], ["classification"])
    with pytest.raises(InputNotFoundError, match=r"no detection\.parquet"):
        load_tables([labels], TASKS)


def test_a_table_under_another_tasks_name_is_refused(labels, tmp_path):
    (tmp_path / "detection.parquet").write_bytes((labels / "classification.parquet").read_bytes())
    with pytest.raises(InputError, match=r"rename it classification\.parquet"):
        load_tables([tmp_path], ["detection"])


def test_a_foreign_parquet_file_is_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "classification.parquet")
    with pytest.raises(InputError, match="not a label table"):
        load_tables([tmp_path], ["classification"])


@pytest.mark.parametrize("cache_mb", [0, 1])
def test_pictures_are_augmented_then_distorted_then_shrunk(labels, cache_mb):
    (table,) = load_tables([labels], ["classification"])
    one = next(one for one in table.rows if one.quality == 1)
    augmented = Row(one.images, one.picture, one.content_hash, "dev", one.distortion, 7, one.labels)
    pictures = Pictures([one, augmented], 32, cache_mb)
    rgb = read_picture(one.images / one.picture)[0]
    for _ in range(2):
        assert np.array_equal(pictures[0], shrink(apply(rgb, one.distortion), 32))
        assert np.array_equal(pictures[1], shrink(apply(augment(rgb, 7)[0], one.distortion), 32))
    assert pictures.batch([1, 0]).shape == (2, 32, 32, 3)


def test_the_cache_keeps_to_its_bound(labels):
    (table,) = load_tables([labels], ["classification"])
    size = 512
    pictures = Pictures(table.rows, size, cache_mb=2)
    pictures.batch(range(len(pictures)))
    assert pictures.cached_bytes == 2 * 2**20 // (size * size * 3) * size * size * 3


def test_a_picture_that_is_gone_is_named():
    with pytest.raises(PictureError, match=r"a\.png"):
        Pictures([row()], 32)[0]


def test_views_are_of_the_input_size_and_differ_from_one_another():
    pictures = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), dtype=np.uint8), 8, axis=0)
    views = vary(pictures, 32, np.random.default_rng(1))
    assert views.shape == (8, 32, 32, 3)
    assert len({view.tobytes() for view in views}) == 8
    assert (views == vary(pictures, 32, np.random.default_rng(1))).all()


def test_a_view_keeps_a_flat_picture_flat_and_half_are_mirrored():
    ramp = np.tile(np.linspace(0, 255, 40, dtype=np.uint8)[None, :, None], (64, 40, 1, 3))
    views = vary(ramp, 32, np.random.default_rng(0)).astype(float)
    mirrored = views[:, :, :4].mean(axis=(1, 2, 3)) > views[:, :, -4:].mean(axis=(1, 2, 3))
    assert 16 < mirrored.sum() < 48
    flat = vary(np.full((4, 40, 40, 3), 100, np.uint8), 32, np.random.default_rng(0))
    assert np.ptp(flat, axis=(1, 2)).max() == 0


def test_patches_keep_the_scale_of_the_view():
    """A ramp of one grey level a pixel is still one in every patch, wherever it was cut."""
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None] * 4 + 60, (8, 40, 40, 3))
    patches = vary(np.ascontiguousarray(ramp), 40, np.random.default_rng(2), patch=16).astype(float)
    assert patches.shape == (8, 16, 16, 3)
    steps = np.abs(np.diff(patches, axis=2)).mean(axis=(1, 2, 3))
    assert (steps > 4 * 0.75 * 0.9).all()
    assert (steps < 4 * 1.25 * 1.1).all()
    assert len({patch.mean().round() for patch in patches}) > 4


def test_targets_are_the_mean_of_the_networks_that_know_and_then_each():
    networks = [("classification", "a"), ("classification", "b"), ("detection", "c")]
    some = [
        row(confidences=(0.2, 0.6, math.nan)),
        row(confidences=(math.nan, 0.5, 0.9)),
        row(confidences=(math.nan,) * 3),
    ]
    wanted = [[0.4, math.nan, 0.2, 0.6, math.nan], [0.5, 0.9, math.nan, 0.5, 0.9], [math.nan] * 5]
    assert target_array(some, TASKS, networks) == pytest.approx(np.array(wanted), nan_ok=True)


def test_rows_carry_the_confidence_of_each_network(labels):
    networks = network_names([labels], TASKS)
    assert networks
    assert {task for task, _ in networks} == {"classification"}
    (table,) = load_tables([labels], ["classification"], networks)
    known = [one.confidences[0] for one in table.rows if not math.isnan(one.confidences[0])]
    assert known
    assert all(0 <= value <= 1 for value in known)


def test_merging_joins_the_confidences_of_two_tasks():
    one, other = row(confidences=(0.5, math.nan)), row(labels=(math.nan, 0.0), confidences=(math.nan, 0.1))
    (joined,) = merge([one, other])
    assert (joined.labels, joined.confidences) == ((1.0, 0.0), (0.5, 0.1))


def test_a_picture_that_was_changed_since_it_was_labelled_is_named(tmp_path):
    labels = write_labels(tmp_path, 6)
    (table,) = load_tables([labels], ["classification"])
    changed = table.rows[0].images / table.rows[0].picture
    Image.new("RGB", (64, 64)).save(changed)
    with pytest.raises(PictureError, match="has changed since it was labelled"):
        Pictures(table.rows, 32)[0]
    for path in table.rows[0].images.glob("*.png"):
        Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    with pytest.raises(InputError, match="has changed since it was labelled"):
        balanced(labels, tmp_path)


def test_a_truth_that_was_changed_since_is_not_asked_again(tmp_path):
    labels = write_labels(tmp_path, 6)
    (table,) = load_tables([labels], ["classification"])
    with Path(table.metadata["truth"]).open("a") as truth:
        truth.write("\n")
    with pytest.raises(InputError, match="is not the one the table was made with"):
        balanced(labels, tmp_path)


def test_a_disk_without_room_for_the_pictures_is_named_before_they_are_made(labels, tmp_path, monkeypatch):
    def full(file: int, start: int, length: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    (table,) = load_tables([labels], ["classification"])
    with pytest.raises(OutputError, match="No space left on device; choose another --cache-dir"):
        Pictures(table.rows, 32, cache_mb=1, folder=tmp_path)


def test_pictures_on_disk_outlive_the_object_that_made_them(labels, tmp_path):
    (table,) = load_tables([labels], ["classification"])
    first = Pictures(table.rows, 32, cache_mb=1, folder=tmp_path)
    made = first[3].copy()
    again = Pictures(table.rows, 32, cache_mb=1, folder=tmp_path)
    assert again.cached_bytes == first.cached_bytes > 0
    assert np.array_equal(again[3], made)
    assert Pictures(table.rows, 24, cache_mb=1, folder=tmp_path).cached_bytes == 0


def test_prefetching_keeps_the_order_and_hands_errors_over():
    assert list(prefetch((lambda value=value: value) for value in range(20))) == list(range(20))
    results = prefetch([lambda: 1, lambda: 1 // 0])
    with pytest.raises(ZeroDivisionError):
        list(results)


def balanced(labels: Path, out: Path, rounds: int = 10, key: str = "k") -> list[Row]:
    tables = tuple(load_tables([labels], ["classification"]))
    return TopUp(tables, ("classification",), 0, rounds, out / "balance-classification.parquet", key).run()


def test_the_rarer_class_is_topped_up_by_relabelled_augmentations(labels, tmp_path):
    natural = merge(load_tables([labels], ["classification"])[0].rows)
    added = balanced(labels, tmp_path)
    counts = Counter(one.labels[0] for one in [*natural, *added])
    assert counts[0.0] == counts[1.0]
    assert all(one.labels == (0.0,) and one.augmentation > 0 and not one.is_pristine for one in added)
    assert {one.content_hash for one in added} <= {one.content_hash for one in natural}
    assert len(merge(added)) == len(added)


def test_topping_up_goes_on_where_it_was_and_starts_anew_for_other_labels(labels, tmp_path):
    path = tmp_path / "balance-classification.parquet"
    added = balanced(labels, tmp_path)
    made = path.stat().st_mtime_ns
    assert balanced(labels, tmp_path) == added
    assert path.stat().st_mtime_ns == made
    balanced(labels, tmp_path, key="other")
    assert path.stat().st_mtime_ns != made


def test_rounds_bound_the_topping_up(labels, tmp_path, caplog):
    assert balanced(labels, tmp_path, rounds=0) == []
    assert "0 rows found of" in caplog.text


def test_weights_give_both_classes_the_same_total():
    labels = np.array([[1, np.nan], [1, 0], [1, 1], [0, np.nan]], np.float32)
    weights = class_weights(labels)
    assert weights[0] == pytest.approx([4 / 2, 4 / 6])
    assert weights[1] == pytest.approx([1, 1])
