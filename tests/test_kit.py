"""A user's own pictures laid out as a kit, and read back by the commands that come after it."""

import csv
import importlib
import json
import os
import shlex
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from streamfilter.errors import ConfigError, InputError, InputNotFoundError, ModelError, OutputError
from tests.own_data import WNIDS, coco, imagenet, picture
from tests.tiny_networks import colour_classifier
from trainer.__main__ import main
from trainer.kit import KitJob, make_kit
from trainer.kit.folders import Filling
from trainer.kit.placing import Placing
from trainer.label import LabelJob, label
from trainer.networks.torchvision import weight_file_name
from trainer.pictures import list_items
from trainer.tables import read_table


def rows(kit: Path) -> list[dict[str, str]]:
    with (kit / "classification" / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_class_folders_become_labels(tmp_path):
    note = make_kit(KitJob(tmp_path / "kit", imagenet_val=imagenet(tmp_path / "val"), workers=2))
    made = rows(tmp_path / "kit")
    assert [row["path"] for row in made] == [f"pictures/{WNIDS[n]}/ILSVRC2012_val_{n:08d}.JPEG" for n in range(12)]
    assert [(int(row["class_index"]), row["wnid"]) for row in made] == [(n, WNIDS[n]) for n in range(12)]
    items = list_items(
        tmp_path / "kit" / "classification", tmp_path / "kit" / "classification" / "labels.csv", "classification"
    )
    for item in items:
        original = tmp_path / "val" / item.picture.removeprefix("pictures/")
        assert (tmp_path / "kit" / "classification" / item.picture).read_bytes() == original.read_bytes()
    folder = note["folders"]["classification"]
    assert folder["pictures"] == 12 == sum(folder["splits"].values())
    assert len(folder["unreadable"]) == 1
    assert "broken.JPEG" in folder["unreadable"][0]
    assert json.loads((tmp_path / "kit" / "kit.json").read_text()) == note


def test_a_csv_gives_the_classes(tmp_path):
    picture(tmp_path / "val" / "a.png", 1)
    picture(tmp_path / "val" / "deep" / "b.jpg", 2)
    (tmp_path / "truth.csv").write_text("file,class_index\ndeep/b.jpg,999\na.png,3\ngone.png,4\n")
    job = KitJob(tmp_path / "kit", imagenet_val=tmp_path / "val", imagenet_truth=tmp_path / "truth.csv")
    note = make_kit(job)
    assert [(row["path"], row["class_index"]) for row in rows(tmp_path / "kit")] == [
        ("pictures/deep/b.jpg", "999"),
        ("pictures/a.png", "3"),
    ]
    assert "gone.png" in note["folders"]["classification"]["unreadable"][0]


def test_equal_files_are_on_one_side_and_the_split_is_kept(tmp_path):
    """Forty pictures, each under two names; the same seed splits them alike, another one differently."""
    for index in range(40):
        first = picture(tmp_path / "photos" / f"a{index}.jpg", index)
        (tmp_path / "photos" / f"b{index}.jpg").write_bytes(first.read_bytes())
    splits = {}
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        make_kit(KitJob(tmp_path / name, photographs=tmp_path / "photos", test_share=0.5, seed=seed))
        images = json.loads((tmp_path / name / "extra" / "pictures.json").read_text())["images"]
        splits[name] = {image["file_name"]: image["split"] for image in images}
    assert len(splits["one"]) == 80
    assert all(splits["one"][f"pictures/a{n}.jpg"] == splits["one"][f"pictures/b{n}.jpg"] for n in range(40))
    assert splits["one"] == splits["two"] != splits["three"]
    assert 20 <= list(splits["one"].values()).count("test") <= 60


def test_the_test_share_is_met(tmp_path):
    filling = Filling(tmp_path, Placing(), test_share=0.2, seed=5)
    sides = [filling.split_of(str(number)) for number in range(20_000)]
    assert sides.count("test") / 20_000 == pytest.approx(0.2, abs=0.01)
    assert {Filling(tmp_path, Placing(), test_share=0).split_of(str(number)) for number in range(100)} == {"dev"}


def test_boxes_are_scaled_with_the_pictures(tmp_path):
    pictures, annotations = coco(tmp_path)
    job = KitJob(tmp_path / "kit", coco=pictures, coco_annotations=annotations, shorter_side=20)
    note = make_kit(job)
    content = json.loads((tmp_path / "kit" / "detection" / "instances.json").read_text())
    assert [(one["id"], one["width"], one["height"]) for one in content["images"]] == [(1, 30, 20), (2, 20, 30)]
    assert [one["bbox"] for one in content["annotations"]] == [[5, 5, 10, 10]] * 2
    assert [(one["area"], one["iscrowd"]) for one in content["annotations"]] == [(75, 0), (75, 1)]
    assert content["categories"] == [{"id": 1, "name": "person"}]
    missing, turned = note["folders"]["detection"]["unreadable"]
    assert "3.jpg" in missing
    assert "4.jpg has not the shape 60x40" in turned
    folder = tmp_path / "kit" / "detection"
    items = list_items(folder, folder / "instances.json", "detection")
    assert items[0].objects.boxes.tolist() == pytest.approx(np.array([[10 / 60, 0.25, 0.5, 0.75]]))
    assert len(items[1].objects.boxes) == 0


def test_data_sets_are_added_to_a_kit_with_the_same_settings(tmp_path):
    pictures, annotations = coco(tmp_path)
    picture(tmp_path / "photos" / "a.jpg", 1)
    make_kit(KitJob(tmp_path / "kit", photographs=tmp_path / "photos"))
    both = KitJob(tmp_path / "kit", coco=pictures, coco_annotations=annotations)
    assert set(make_kit(both)["folders"]) == {"extra", "detection"}
    with pytest.raises(ConfigError, match="seed was 0, now 1"):
        make_kit(KitJob(tmp_path / "kit", photographs=tmp_path / "photos", seed=1))
    (tmp_path / "kit" / "kit.json").write_text("{}")
    with pytest.raises(InputError, match=r"kit\.json cannot be read"):
        make_kit(both)


def test_the_kit_can_be_labelled(tmp_path):
    folder = imagenet(tmp_path / "val", 3)
    make_kit(KitJob(tmp_path / "kit", imagenet_val=folder, photographs=folder / WNIDS[0], shorter_side=32))
    network = str(colour_classifier(tmp_path / "colour.onnx"))
    classes, extra = tmp_path / "kit" / "classification", tmp_path / "kit" / "extra"
    common = {"task": "classification", "networks": (network,), "workers": 1, "distortions": ()}
    label(LabelJob(images=classes, truth=classes / "labels.csv", out=tmp_path / "a", **common))
    table = read_table(tmp_path / "a" / "classification.parquet")
    assert table["reference_class"].to_pylist() == [0, 1, 2]
    filling = Filling(tmp_path, Placing())
    assert table["split"].to_pylist() == [filling.split_of(one) for one in table["content_hash"].to_pylist()]
    label(LabelJob(images=extra, truth=extra / "pictures.json", out=tmp_path / "b", reference="pristine", **common))
    assert read_table(tmp_path / "b" / "classification.parquet")["content_hash"][0] == table["content_hash"][0]
    assert (extra / "origins.csv").read_text() == f"path,origin\npictures/ILSVRC2012_val_{0:08d}.JPEG,{WNIDS[0]}\n"


def test_the_printed_commands_are_commands(tmp_path):
    """The command line: pictures named, exit status 1 for a broken one, and every printed line understood."""
    pictures, annotations = coco(tmp_path)
    for index in range(20):
        picture(tmp_path / "photos" / f"{index}.jpg", index)
    options = ["--photographs", tmp_path / "photos", "--coco", pictures, "--coco-annotations", annotations]
    done = CliRunner().invoke(main, ["kit", "--out", str(tmp_path / "kit"), "--test-share", "0.5", *map(str, options)])
    assert done.exit_code == 1, done.output
    assert "2 pictures could not be read and were left out" in done.stderr
    assert "3.jpg" in done.stderr
    lines = done.stdout.splitlines()
    assert lines == json.loads((tmp_path / "kit" / "kit.json").read_text())["commands"]
    rooms = []
    for line in lines:
        python, flag, module, room, *arguments = shlex.split(line)
        assert (python, flag, module) == ("python", "-m", "trainer")
        command = importlib.import_module(f"trainer.{room}").command
        with command.make_context(room, arguments) as context:
            rooms.append((room, context.params.get("task"), context.params.get("reference")))
    assert ("label", "detection", "truth") in rooms
    assert {("label", "classification", "pristine"), ("label", "detection", "pristine")} <= set(rooms)
    assert [room for room, *_ in rooms][-2:] == ["train", "evaluate"]


def test_networks_are_checked_before_a_picture_is_touched(tmp_path):
    picture(tmp_path / "photos" / "a.jpg", 1)
    usual = {"out": tmp_path / "kit", "photographs": tmp_path / "photos"}
    with pytest.raises(ConfigError, match="unknown network 'resnet9000', known: alexnet"):
        make_kit(KitJob(**usual, networks=("resnet9000",)))
    with pytest.raises(ConfigError, match="no labelling network for detection"):
        make_kit(KitJob(**usual, networks=("vgg19",)))
    with pytest.raises(ConfigError, match="alexnet is named twice"):
        make_kit(KitJob(**usual, networks=("alexnet",), unseen=("alexnet",)))
    two = {"networks": ("alexnet", "ssd300_vgg16"), "unseen": (), "weights_dir": tmp_path}
    with pytest.raises(ModelError, match=weight_file_name("ssd300_vgg16")):
        make_kit(KitJob(**usual, **two))
    assert not (tmp_path / "kit").exists()
    for name in two["networks"]:
        (tmp_path / weight_file_name(name)).touch()
    note = make_kit(KitJob(**usual, **two))
    assert note["networks"][0] == {"name": "alexnet", "task": "classification", "role": "labels"}
    assert all(f"--weights-dir {tmp_path}" in line for line in note["commands"] if "label" in line.split()[3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give --imagenet-val, --coco or --photographs"),
        ({"coco": Path("x")}, "give both or none"),
        ({"imagenet_truth": Path("x"), "photographs": Path("y")}, "needs --imagenet-val"),
        ({"photographs": Path("y"), "test_share": 1.0}, "wanted 0 to below 1"),
        ({"photographs": Path("y"), "shorter_side": 0}, "at least 1 pixel"),
        ({"photographs": Path("kit/own")}, "lie in each other"),
        ({"photographs": Path()}, "lie in each other"),
    ],
)
def test_contradictory_jobs_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        KitJob(Path("kit"), **options)


def test_bad_data_is_refused(tmp_path):
    out, photos = tmp_path / "kit", tmp_path / "photos"
    with pytest.raises(InputNotFoundError, match="not a folder"):
        make_kit(KitJob(out, photographs=photos))
    picture(photos / "a.jpg", 1)
    with pytest.raises(InputError, match="not one <wnid> for each"):
        make_kit(KitJob(out, imagenet_val=photos))
    with pytest.raises(InputNotFoundError, match="does not exist"):
        make_kit(KitJob(out, imagenet_val=photos, imagenet_truth=tmp_path / "none.csv"))
    truth = tmp_path / "truth.csv"
    for text, message in [
        ("490\n361\n", "CSV file,class_index"),
        ("file,class_index\na.jpg,1000\n", "outside 0-999"),
        ("file,class_index\n../a.jpg,1\n", "inside the folder"),
        ("file,class_index\nb.jpg,1\n", "no readable picture"),
        ("file,class_index\n", "none is named"),
        ("file,class_index\na.jpg,1\na.jpg,2\n", "a.jpg more than once"),
    ]:
        truth.write_text(text)
        with pytest.raises(InputError, match=message):
            make_kit(KitJob(out, imagenet_val=photos, imagenet_truth=truth))
    assert not (out / "classification" / "labels.csv").exists()
    annotations = tmp_path / "instances.json"
    for text, message in [
        ("[]", "cannot be read as COCO JSON"),
        ('{"images": [], "annotations": []}', "'categories' is missing"),
    ]:
        annotations.write_text(text)
        with pytest.raises(InputError, match=message):
            make_kit(KitJob(out, coco=photos, coco_annotations=annotations))
    (out / "extra").mkdir(parents=True, exist_ok=True)
    (out / "extra" / "pictures").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        make_kit(KitJob(out, photographs=photos))


def test_memory_does_not_grow_with_the_pictures(tmp_path):
    """Ten times the pictures, 120 kB each when decoded: less than a decoded picture's worth more at the peak."""
    source = picture(tmp_path / "source.jpg", 1, (240, 160))
    peaks = []
    for count in (8, 80):
        folder = tmp_path / f"photos{count}"
        folder.mkdir()
        for index in range(count):
            os.link(source, folder / f"{index}.jpg")
        job = KitJob(tmp_path / f"kit{count}", photographs=folder, shorter_side=80, workers=1)
        make_kit(job)
        for made in (tmp_path / f"kit{count}").rglob("*.jpg"):
            made.unlink()
        tracemalloc.start()
        make_kit(job)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 240 * 160 * 3 * 2
