"""From the label table to labels, and more rows for it by relabelling."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from tests.labelling import QUALITIES, detection_job, job, make_folder
from tests.tiny_networks import colour_classifier
from trainer.label import label, relabel
from trainer.tables import derive, metadata_of, read_table


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path)


def test_labels_follow_from_the_table(folder):
    """`sure` gives over 0.9 to the right colour, `unsure` between 0.1 and 0.9: it has no say unless T_H is lowered."""
    label(job(folder))
    table = read_table(folder / "labels" / "classification.parquet")
    derived = derive(table)
    assert derived.num_rows == 7 * 3
    assert derived["utility_sure"].to_pylist() == [1] * 21
    assert derived["utility_unsure"].to_pylist() == [-1] * 21
    assert derived["label"].to_pylist() == [-1] * 21
    assert derive(table, high=0.2)["label"].to_pylist() == [1] * 21
    assert derived["distortion"].to_pylist()[:3] == ["pristine", "jpeg", "jpeg"]


def test_a_class_lost_by_the_distortion_is_non_useful(folder):
    """By hand: right and sure when pristine, wrong and under T_L at quality 5, unsure at 50."""
    label(job(folder, networks=(str(folder / "sure.onnx"),), limit=1))
    rows = read_table(folder / "labels" / "classification.parquet")
    changed = rows.to_pylist()
    changed[1] |= {"predicted_class": 8, "correct_probability": 0.02}
    changed[2] |= {"correct_probability": 0.6}
    assert derive(pa.Table.from_pylist(changed, schema=rows.schema))["label"].to_pylist() == [1, 0, -1]


def test_detection_labels_follow_from_the_table(folder):
    label(detection_job(folder))
    table = read_table(folder / "labels" / "detection.parquet")
    derived = derive(table)
    red = [picture in ("p0.png", "p3.png", "p6.png") for picture in derived["picture"].to_pylist()]
    assert [value == 1 for value in derived["label"].to_pylist()] == red
    assert set(derive(table, confidence=0.88)["utility_whole"].to_pylist()) == {-1}
    with pytest.raises(ConfigError, match="keeps no weaker"):
        derive(table, confidence=0.01)


def test_a_table_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"picture": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="is not a label table"):
        read_table(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "text.parquet")
    with pytest.raises(InputNotFoundError, match="make one with"):
        read_table(tmp_path / "none.parquet")


def test_a_table_with_rows_missing_is_refused(folder):
    label(job(folder))
    table = read_table(folder / "labels" / "classification.parquet")
    with pytest.raises(InputError, match="unsure are not those of the others"):
        derive(table.slice(0, table.num_rows - 1))
    with pytest.raises(InputError, match="without a pristine row"):
        derive(table.slice(2))


def test_the_order_of_the_rows_does_not_matter(folder):
    label(job(folder))
    table = read_table(folder / "labels" / "classification.parquet")
    shuffled = table.take(np.random.default_rng(0).permutation(table.num_rows))
    keys = [("picture", "ascending"), ("distortion", "ascending"), ("strength", "ascending")]
    assert derive(shuffled, high=0.2).sort_by(keys).equals(derive(table, high=0.2).sort_by(keys))


def test_relabelling_asks_about_the_augmented_picture(folder):
    label(detection_job(folder))
    table = read_table(folder / "labels" / "detection.parquet")
    wanted = [("p0.png", 4, QUALITIES[0]), ("p0.png", 4, QUALITIES[1]), ("p3.png", 9, QUALITIES[0])]
    more = relabel(metadata_of(table), wanted)
    assert more.schema.equals(table.schema, check_metadata=False)
    assert more.num_rows == (3 + 2) * 2
    assert more["augmentation"].to_pylist() == [4] * 6 + [9] * 4
    assert more["distortion"].to_pylist()[:6] == ["pristine"] * 2 + ["jpeg"] * 4
    assert more["truth_boxes"].to_pylist()[0] != [0, 0, 0.5, 1]
    assert more.equals(relabel(metadata_of(table), wanted))
    both = derive(pa.concat_tables([table.replace_schema_metadata(more.schema.metadata), more]))
    assert both.num_rows == 7 * 3 + 5
    assert both["augmentation"].to_pylist()[-5:] == [4, 4, 4, 9, 9]


def test_relabelling_keeps_the_class(folder):
    label(job(folder, split="dev"))
    table = read_table(folder / "labels" / "classification.parquet")
    more = relabel(metadata_of(table), [("p1.png", 7, QUALITIES[0])], workers=1)
    assert more["reference_class"].to_pylist() == [1] * 4
    pristine = {row["network"]: row for row in table.to_pylist() if row["picture"] == "p1.png"}
    assert more["correct_probability"].to_pylist()[1] != pristine["unsure"]["correct_probability"]


def test_relabelling_refuses_what_is_not_as_it_was(folder):
    label(job(folder))
    metadata = metadata_of(read_table(folder / "labels" / "classification.parquet"))
    with pytest.raises(InputError, match=r"q\.png is not among"):
        relabel(metadata, [("q.png", 1, QUALITIES[0])])
    with pytest.raises(ConfigError, match="seeds start at 1"):
        relabel(metadata, [("p0.png", 0, QUALITIES[0])])
    colour_classifier(folder / "sure.onnx", gain=3)
    with pytest.raises(InputError, match="not the one the table was made with"):
        relabel(metadata, [("p0.png", 1, QUALITIES[0])])
