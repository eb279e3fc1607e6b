"""From the label table to labels, and more rows for it by relabelling."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streamfilter.distort import Distortion
from streamfilter.errors import ConfigError, InputError, InputNotFoundError
from tests.labelling import QUALITIES, detection_job, job, make_folder
from tests.tiny_networks import colour_classifier
from trainer.label import label, relabel
from trainer.networks import Network
from trainer.outcomes import rows_of
from trainer.pictures import Item
from trainer.tables import derive, metadata_of, read_table, schema


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


def classified(*rows: tuple[str, float | None, str, int, int, float, int | None]) -> pa.Table:
    """Rows (picture, strength, network, reference, predicted, probability, rank) of a classification table."""
    names = ("picture", "strength", "network", "reference_class", "predicted_class", "correct_probability")
    common = {"content_hash": "", "split": "dev", "augmentation": 0, "top_probability": 1.0}
    records = []
    for row in rows:
        kind = "pristine" if row[1] is None else "jpeg"
        records.append({**common, "distortion": kind, **dict(zip((*names, "correct_rank"), row, strict=True))})
    return pa.Table.from_pylist(records, schema=schema("classification", {"task": "classification"}))


RIGHT_AND_WRONG = (
    ("a", None, "m", 3, 3, 0.9, 1),
    ("a", None, "n", 3, 3, 0.75, 1),
    ("a", 5.0, "m", 3, 8, 0.05, 3),
    ("a", 5.0, "n", 3, 3, 0.7, 1),
    ("b", None, "m", 4, 4, 1.0, 1),
    ("b", None, "n", 4, 7, 0.25, 2),
    ("b", 5.0, "m", 4, 8, 0.02, 12),
    ("b", 5.0, "n", 4, 4, 0.95, 1),
    ("c", None, "m", -1, 9, np.nan, None),
    ("c", None, "n", 9, 2, 0.01, 40),
)


def test_continuous_labels_by_hand():
    """Network n is wrong about pristine b; c has no reference for m, and n is wrong about it."""
    derived = derive(classified(*RIGHT_AND_WRONG))
    nan = pytest.approx(np.nan, nan_ok=True)
    assert derived["phi_m"].to_pylist() == pytest.approx([0.9, 0.05, 1, 0.02, np.nan], nan_ok=True)
    assert derived["phi_n"].to_pylist() == pytest.approx([0.75, 0.7, np.nan, np.nan, np.nan], nan_ok=True)
    of_m = [0.4 / 0.6, -0.45 / 0.6, 1, -0.96, np.nan]
    assert derived["continuous_m"].to_pylist() == pytest.approx(of_m, nan_ok=True)
    assert derived["continuous_n"].to_pylist()[:2] == pytest.approx([0.25 / 0.75, 0.2 / 0.75])
    assert derived["continuous"].to_pylist() == pytest.approx(
        [(0.4 / 0.6 + 0.25 / 0.75) / 2, (-0.45 / 0.6 + 0.2 / 0.75) / 2, 1, -0.96, np.nan], nan_ok=True
    )
    assert derived["mcos"].to_pylist() == pytest.approx(
        [(0.95 + 0.875) / 2, ((0.05 + 0.8) / 2 + (0.7 + 1) / 2) / 2, 1, 0.01, np.nan], nan_ok=True
    )
    assert derived["continuous_n"].to_pylist()[2] == nan
    floats = [field.type for field in derived.schema if field.name.startswith(("phi", "continuous", "share", "mcos"))]
    assert floats == [pa.float32()] * 7


def test_operators_and_settings_reach_the_labels():
    table = classified(*RIGHT_AND_WRONG)
    utilities = {"utility_m": [-1, 0, 1, 0, -1], "utility_n": [-1, -1, -1, -1, -1]}
    for name, values in utilities.items():
        assert derive(table)[name].to_pylist() == values
    assert derive(table)["label"].to_pylist() == [-1] * 5
    for operator in ("mean", "max", "majority"):
        assert derive(table, operator=operator)["label"].to_pylist() == [-1, 0, 1, 0, -1]
    loose = derive(table, high=0.6, operator="mean")
    assert loose["share"].to_pylist() == pytest.approx([1, 0.5, 1, 0, np.nan], nan_ok=True)
    assert loose["label"].to_pylist() == [1, 1, 1, 0, -1]
    assert derive(table, rejection=0.25)["continuous_m"].to_pylist()[2] == pytest.approx(3)
    assert derive(table, continuous_operator="max")["continuous"].to_pylist()[1] == pytest.approx(0.2 / 0.75)
    assert derive(table, rank_depth=20)["mcos"].to_pylist()[3] == pytest.approx((0.02 + 0.45) / 2)
    with pytest.raises(ConfigError, match="rejection 1"):
        derive(table, rejection=1)
    with pytest.raises(ConfigError, match="unknown operator 'vote'"):
        derive(table, operator="vote")


def test_a_table_without_ranks_is_read_and_has_no_opinion_score(tmp_path):
    table = classified(*RIGHT_AND_WRONG)
    pq.write_table(table.drop_columns("correct_rank"), tmp_path / "old.parquet")
    old = read_table(tmp_path / "old.parquet")
    assert old.schema.equals(table.schema, check_metadata=True)
    assert old["correct_rank"].null_count == old.num_rows
    derived = derive(old)
    assert "mcos" not in derived.column_names
    assert str(derived.to_pylist()) == str(derive(table).drop_columns("mcos").to_pylist())
    both = derive(pa.concat_tables([old, classified(*[("z", *row[1:]) for row in RIGHT_AND_WRONG[:4]])]))
    assert both["mcos"].to_pylist() == pytest.approx([np.nan] * 5 + [0.9125, 0.6375], nan_ok=True)


def test_detection_confidence_is_the_best_right_score(folder):
    """By hand: `left` is right about the red pictures at 0.9 times their largest red, `whole` at 0.8 times."""
    label(detection_job(folder, limit=2))
    rows = read_table(folder / "labels" / "detection.parquet")
    derived = derive(rows)
    scores = [max(row["scores"], default=0) for row in rows.to_pylist() if row["network"] == "left"]
    phi = derived["phi_left"].to_pylist()
    assert phi[:3] == pytest.approx(scores[:3])
    assert phi[0] == pytest.approx(0.9, abs=0.02)
    assert derived["phi_whole"].to_pylist()[:3] == pytest.approx([score * 8 / 9 for score in scores[:3]], rel=1e-5)
    assert np.isnan(phi[3:]).all()
    assert derived["continuous_left"].to_pylist()[:3] == pytest.approx(
        [(one - 0.5) / (1.5 - scores[0]) for one in scores[:3]], rel=1e-5
    )
    counted = derive(rows, count_wrong_pristine=True)
    assert counted["utility_left"].to_pylist()[3:] == [0, 0, 0]
    assert np.isnan(counted["phi_left"].to_pylist()[3:]).all()
    assert "mcos" not in derived.column_names


class Answering(Network):
    """A classifier that gives the same probabilities whatever it sees."""

    name = "answering"
    task = "classification"

    def __init__(self, *answers: dict[int, float]) -> None:
        self.probabilities = np.zeros((len(answers), 1000), np.float32)
        for row, answer in zip(self.probabilities, answers, strict=True):
            row[list(answer)] = list(answer.values())

    def predict(self, pictures):
        assert len(pictures) == len(self.probabilities)
        return self.probabilities


def ranks(truth: int | None, *answers: dict[int, float]) -> list[int | None]:
    picture = np.zeros((16, 16, 3), np.uint8)
    distortions = [Distortion("jpeg", 10 * (1 + index)) for index in range(len(answers) - 1)]
    rows = rows_of(Item("p.png", class_index=truth), picture, "", distortions, [Answering(*answers)])
    return [row["correct_rank"] for row in rows]


def test_ranks_by_hand():
    answers = ({5: 0.6, 7: 0.3, 2: 0.1}, {7: 0.5, 2: 0.3, 5: 0.2}, {5: 0.4, 3: 0.4, 9: 0.2}, {5: 0.4, 6: 0.4, 9: 0.2})
    assert ranks(5, *answers) == [1, 3, 2, 1]
    assert ranks(None, *answers) == [1, 3, 2, 1]
    assert ranks(999, {0: 1.0}) == [1000]
    assert ranks(None, {0: 0.4, 1: 0.3, 2: 0.3}) == [None]


def test_the_pristine_decision_is_the_reference_without_truth(folder):
    label(job(folder, truth=None, limit=2))
    table = read_table(folder / "labels" / "classification.parquet")
    derived = derive(table, high=0.2)
    assert table["correct_rank"].to_pylist() == [1] * 12
    assert derived["label"].to_pylist() == [1] * 6
    assert derived["phi_sure"].to_pylist() == pytest.approx(
        [row["top_probability"] for row in table.to_pylist() if row["network"] == "sure"]
    )
    label(detection_job(folder, truth=None, limit=1, out=folder / "boxes"))
    boxes = derive(read_table(folder / "boxes" / "detection.parquet"))
    assert boxes["label"].to_pylist() == [1] * 3
    assert boxes["phi_whole"].to_pylist()[0] == pytest.approx(0.9, abs=0.02)


def test_a_table_of_something_else_is_refused(tmp_path):
    pq.write_table(pa.table({"picture": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match="is not a label table"):
        read_table(tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    with pytest.raises(InputError, match="cannot be read"):
        read_table(tmp_path / "text.parquet")
    with pytest.raises(InputNotFoundError, match="make one with"):
        read_table(tmp_path / "none.parquet")


def test_a_table_without_rows_or_of_other_values_is_refused(tmp_path):
    columns = schema("classification", {"task": "classification"})
    pq.write_table(columns.empty_table(), tmp_path / "empty.parquet")
    with pytest.raises(InputError, match=r"empty\.parquet has no rows"):
        read_table(tmp_path / "empty.parquet")
    words = {name: pa.array(["word"]) for name in columns.names}
    pq.write_table(pa.table(words, metadata=columns.metadata), tmp_path / "words.parquet")
    with pytest.raises(InputError, match="holds other values than a label table"):
        read_table(tmp_path / "words.parquet")


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


def test_relabelling_keeps_the_pristine_decision_as_the_reference(folder):
    """`whole` sees a bus (category 6) that is not in the truth, which gives no more than the splits here."""
    label(detection_job(folder, reference="pristine", networks=(str(folder / "whole.onnx"),), limit=1))
    table = read_table(folder / "labels" / "detection.parquet")
    more = relabel(metadata_of(table), [("p0.png", 4, QUALITIES[0])], workers=1)
    for rows in (table, more):
        assert 6 in rows["truth_category_ids"].to_pylist()[0]
        assert rows["split"].to_pylist()[0] == "dev"


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
