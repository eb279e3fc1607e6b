"""`python -m trainer label`: from pictures, truth and networks to a table."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from click.testing import CliRunner

from streamfilter.distort import Distortion, apply
from streamfilter.errors import ConfigError, InputError, OutputError
from tests.labelling import QUALITIES, detection_job, job, make_folder
from tests.tiny_networks import colour_classifier
from trainer import label as label_room
from trainer import parts as parts_room
from trainer.__main__ import main
from trainer.augment import augment
from trainer.label import label
from trainer.networks import load_network
from trainer.outcomes import rows_of
from trainer.pictures import read_picture
from trainer.tables import derive, metadata_of, read_table

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path)


def test_a_row_for_each_picture_distortion_and_network(folder):
    assert label(job(folder)) == []
    table = read_table(folder / "labels" / "classification.parquet")
    assert table.num_rows == 7 * 3 * 2
    keys = list(
        zip(*(table[name].to_pylist() for name in ("picture", "distortion", "strength", "network")), strict=True)
    )
    assert len(set(keys)) == len(keys)
    assert keys[:4] == [
        ("p0.png", "pristine", None, "sure"),
        ("p0.png", "pristine", None, "unsure"),
        ("p0.png", "jpeg", 5.0, "sure"),
        ("p0.png", "jpeg", 5.0, "unsure"),
    ]
    assert table["split"].to_pylist() == ["dev"] * 30 + ["test"] * 12
    assert set(table["augmentation"].to_pylist()) == {0}


def test_rows_hold_what_the_network_says_of_the_distorted_picture(folder):
    label(job(folder))
    rgb, digest = read_picture(folder / "images" / "p1.png")
    network = load_network(folder / "unsure.onnx", "classification")
    expected = network.predict([apply(rgb, QUALITIES[0])])[0]
    (row,) = (
        row
        for row in read_table(folder / "labels" / "classification.parquet").to_pylist()
        if (row["picture"], row["strength"], row["network"]) == ("p1.png", 5, "unsure")
    )
    assert row["content_hash"] == digest
    assert (row["reference_class"], row["predicted_class"]) == (1, expected.argmax())
    assert row["correct_probability"] == pytest.approx(expected[1])
    assert row["top_probability"] == pytest.approx(expected.max())


def test_the_table_says_where_it_comes_from(folder):
    label(job(folder, split="dev"))
    metadata = metadata_of(read_table(folder / "labels" / "classification.parquet"))
    assert metadata["task"] == "classification"
    assert Path(metadata["images"]) == folder / "images"
    assert Path(metadata["truth"]) == folder / "labels.csv"
    assert [network["name"] for network in metadata["networks"]] == ["sure", "unsure"]
    assert metadata["distortions"] == [["jpeg", 5], ["jpeg", 50]]


def test_split_and_limit_choose_pictures(folder):
    label(job(folder, split="test", limit=1))
    table = read_table(folder / "labels" / "classification.parquet")
    assert set(table["picture"].to_pylist()) == {"p5.png"}
    with pytest.raises(ConfigError, match="known: dev, test"):
        label(job(folder, split="train", out=folder / "other"))


def test_without_truth_the_pristine_decision_is_the_reference(folder):
    label(job(folder, truth=None, networks=(str(folder / "sure.onnx"), str(folder / "unsure.onnx"))))
    table = read_table(folder / "labels" / "classification.parquet")
    by_network = {name: [r for r in table.to_pylist() if r["network"] == name] for name in ("sure", "unsure")}
    assert [row["reference_class"] for row in by_network["sure"]][::3] == [0, 1, 2, 0, 1, 2, 0]
    tops = [row["top_probability"] for row in by_network["unsure"] if row["distortion"] == "pristine"]
    assert max(tops) < 0.9
    for row in by_network["unsure"]:
        assert (row["reference_class"] == -1) == np.isnan(row["correct_probability"])
    assert set(table["split"].to_pylist()) == {""}


def test_no_reference_where_even_the_pristine_decision_is_unsure(folder):
    colour_classifier(folder / "timid.onnx", gain=3)
    label(job(folder, truth=None, networks=(str(folder / "timid.onnx"),)))
    table = read_table(folder / "labels" / "classification.parquet")
    assert set(table["reference_class"].to_pylist()) == {-1}
    assert np.isnan(table["correct_probability"].to_numpy()).all()
    assert set(derive(table)["label"].to_pylist()) == {-1}


def test_augmented_pictures_are_labelled_in_the_place_of_their_source(folder):
    label(job(folder, augmented=2, sample=1, distortions=QUALITIES))
    table = read_table(folder / "labels" / "classification.parquet")
    assert table.num_rows == 7 * 2 * 2 * 2
    seeds = {}
    for row in table.to_pylist():
        seeds.setdefault(row["picture"], set()).add(row["augmentation"])
    assert all(len(own) == 2 and 0 not in own for own in seeds.values())
    assert len(set.union(*seeds.values())) == 14
    assert len(set(table.filter(pc.equal(table["distortion"], "jpeg"))["strength"].to_pylist())) > 2
    assert derive(table).num_rows == 7 * 2 * 2
    rgb, _ = read_picture(folder / "images" / "p1.png")
    row = next(row for row in table.to_pylist() if (row["picture"], row["distortion"]) == ("p1.png", "pristine"))
    shown, _, _ = augment(rgb, row["augmentation"])
    network = load_network(folder / f"{row['network']}.onnx", "classification")
    assert row["top_probability"] == pytest.approx(network.predict([shown])[0].max())


def test_detections_and_objects_are_kept(folder):
    label(detection_job(folder))
    row = read_table(folder / "labels" / "detection.parquet").to_pylist()[0]
    assert row["boxes"] == [0, 0, 0.5, 1]
    assert row["category_ids"] == [1]
    assert 0.7 < row["scores"][0] <= 0.9
    assert row["truth_boxes"] == [0, 0, 0.5, 1]
    assert row["truth_category_ids"] == [1]


def test_without_truth_the_pristine_detections_are_the_objects(folder):
    label(detection_job(folder, truth=None))
    rows = read_table(folder / "labels" / "detection.parquet").to_pylist()
    whole = next(row for row in rows if row["network"] == "whole" and row["picture"] == "p0.png")
    assert whole["truth_boxes"] == whole["boxes"]
    assert whole["truth_category_ids"] == [6, 1]
    blue = next(row for row in rows if row["picture"] == "p2.png")
    assert (blue["truth_boxes"], blue["truth_category_ids"]) == ([], [])


def interrupt_after(monkeypatch, pictures: int) -> list[str]:
    """The next run is interrupted when it asks about one picture more; gives the list of those it asked about."""
    asked: list[str] = []
    real = label_room.rows_of

    def rows_of(item, *arguments):
        if len(asked) >= pictures:
            raise KeyboardInterrupt
        asked.append(item.picture)
        return real(item, *arguments)

    monkeypatch.setattr(label_room, "rows_of", rows_of)
    return asked


def test_an_interrupted_run_goes_on_where_it_stopped(folder, monkeypatch):
    label(job(folder, out=folder / "whole"))
    monkeypatch.setattr(parts_room, "PICTURES_PER_PART", 2)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            label(job(folder, workers=1))
    assert not (folder / "labels" / "classification.parquet").exists()
    finished = len(list((folder / "labels" / ".classification-parts").glob("*.parquet")))
    assert finished == 2
    asked = interrupt_after(monkeypatch, 99)
    label(job(folder))
    assert sorted(asked) == [f"p{index}.png" for index in range(4, 7)]
    tables = [read_table(folder / out / "classification.parquet") for out in ("labels", "whole")]
    assert tables[0].equals(tables[1])
    assert [path.name for path in (folder / "labels").iterdir()] == ["classification.parquet"]


def test_a_finished_table_is_not_made_again(folder, monkeypatch):
    label(job(folder))
    asked = interrupt_after(monkeypatch, 0)
    assert label(job(folder)) == []
    assert asked == []


@pytest.mark.parametrize("finished", [True, False])
def test_other_settings_in_the_same_folder_are_refused(folder, monkeypatch, finished):
    monkeypatch.setattr(parts_room, "PICTURES_PER_PART", 2)
    if finished:
        label(job(folder))
    else:
        with monkeypatch.context() as patch:
            interrupt_after(patch, 3)
            with pytest.raises(KeyboardInterrupt):
                label(job(folder, workers=1))
    with pytest.raises(ConfigError, match=r"distortions was \[\[.jpeg., 5.*, now .*30.*choose another --out"):
        label(job(folder, distortions=(Distortion("jpeg", 30),)))
    (folder / "labels.csv").write_text((folder / "labels.csv").read_text().replace(",2,", ",3,"))
    with pytest.raises(ConfigError, match="truth_sha256 was"):
        label(job(folder))


def test_a_broken_picture_is_named_and_the_rest_goes_on(folder):
    (folder / "images" / "p1.png").write_bytes(b"no picture")
    header = (folder / "images" / "p2.png").read_bytes()[:60]
    (folder / "images" / "p2.png").write_bytes(header)
    skipped = label(job(folder))
    assert [Path(line.split()[0]).name for line in skipped] == ["p1.png", "p2.png"]
    table = read_table(folder / "labels" / "classification.parquet")
    assert set(table["picture"].to_pylist()) == {f"p{index}.png" for index in (0, 3, 4, 5, 6)}
    assert label(job(folder)) == skipped


def test_pictures_that_are_all_broken_make_no_table(folder):
    pictures = {path: path.read_bytes() for path in (folder / "images").iterdir()}
    for path in pictures:
        path.write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"none of the 7 pictures can be used, the first because .*p0\.png"):
        label(job(folder))
    assert list((folder / "labels").iterdir()) == []
    for path, data in pictures.items():
        path.write_bytes(data)
    assert label(job(folder)) == []


def test_two_runs_in_one_folder_do_not_mix(folder, monkeypatch):
    told = []

    def ask_while_another_starts(*arguments):
        if not told:
            with pytest.raises(OutputError, match=r"another process is writing into .*; wait for it") as refused:
                label(job(folder))
            told.append(refused)
        return rows_of(*arguments)

    monkeypatch.setattr(label_room, "rows_of", ask_while_another_starts)
    assert label(job(folder, workers=1)) == []
    assert len(told) == 1
    assert read_table(folder / "labels" / "classification.parquet").num_rows == 7 * 3 * 2


def test_parts_of_unknown_settings_are_not_gone_on_from(folder):
    left = folder / "labels" / ".classification-parts"
    left.mkdir(parents=True)
    (left / "00000.parquet").write_bytes(b"left by a run that was killed while it tidied up")
    assert label(job(folder)) == []


def run(*arguments: object):
    return CliRunner().invoke(main, ["label", *map(str, arguments)])


def usual(folder: Path) -> list[object]:
    networks = f"{folder / 'sure.onnx'},{folder / 'unsure.onnx'}"
    return ["--task", "classification", "--images", folder / "images", "--networks", networks, "--out", folder / "out"]


def test_the_command_makes_the_table(folder):
    result = run(
        *usual(folder), "--truth", folder / "labels.csv", "--distortions", "jpeg=3,30", "--split", "dev", "--limit", 2
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    table = read_table(folder / "out" / "classification.parquet")
    assert table.num_rows == 2 * 3 * 2


def test_the_command_fails_at_the_end_when_a_picture_is_broken(folder):
    (folder / "images" / "p1.png").write_bytes(b"no picture")
    result = run(*usual(folder), "--distortions", "jpeg=3")
    assert result.exit_code == 1
    assert "1 pictures could not be decoded" in result.stderr
    assert "p1.png" in result.stderr
    assert read_table(folder / "out" / "classification.parquet").num_rows == 6 * 2 * 2


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        (["--images", "nowhere"], 1, "nowhere is not a folder of pictures"),
        (["--truth", "none.csv"], 1, "truth none.csv does not exist"),
        (["--networks", "none.onnx"], 1, "network none.onnx does not exist"),
        (["--networks", ","], 1, "at least one"),
        (["--distortions", "jpeg=5,high"], 2, "wanted all, KIND or KIND=STRENGTH"),
        (["--distortions", "jpeg=0"], 2, "outside 1-100"),
        (["--task", "speech"], 2, "classification"),
        (["--limit", "0"], 2, "x>=1"),
    ],
)
def test_bad_input_gets_one_line(folder, changes, code, message):
    result = run(*usual(folder), *changes)
    assert result.exit_code == code
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert code == 2 or len(result.stderr.strip().splitlines()) == 1
    assert not (folder / "out" / "classification.parquet").exists()


def test_the_same_network_twice_is_refused(folder):
    with pytest.raises(ConfigError, match="different names"):
        label(job(folder, networks=(str(folder / "sure.onnx"),) * 2))


def test_an_output_that_cannot_be_written_is_refused(folder):
    (folder / "labels").write_text("a file where a folder should be")
    with pytest.raises(OutputError, match="labels cannot be kept in"):
        label(job(folder))


def test_labelling_never_imports_torch(folder):
    code = f"""
import sys
sys.argv = ["label", "label", *{[str(part) for part in usual(folder)]!r}, "--distortions", "jpeg=3", "--limit", "1"]
from trainer.__main__ import main
main(standalone_mode=False)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
