"""Reading pictures and what is true about them."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamfilter.errors import InputError, InputNotFoundError, PictureError
from tests.labelling import make_folder
from trainer.pictures import list_items, natural_key, read_picture


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_folder(tmp_path)


def test_truth_may_name_pictures_from_its_own_folder(folder):
    text = (folder / "labels.csv").read_text().replace("\np", "\nimages/p")
    (folder / "labels.csv").write_text(text)
    items = list_items(folder / "images", folder / "labels.csv", "classification")
    assert [item.picture for item in items] == [f"p{index}.png" for index in range(7)]


@pytest.mark.parametrize(
    ("task", "text", "error", "message"),
    [
        ("classification", "file,label\na.jpg,3\n", InputError, "wanted path,class_index"),
        ("classification", "path,class_index\np0.png,cat\n", InputError, "cannot be read as CSV"),
        ("classification", "path,class_index\np0.png,1000\n", InputError, "outside 0-999"),
        ("classification", "path,class_index\np0.png\n", InputError, "cannot be read as CSV"),
        ("classification", "path,class_index\ngone.png,3\n", InputNotFoundError, "gone.png, named in"),
        ("classification", "path,class_index\n", InputError, "no pictures"),
        ("classification", "path,class_index\np0.png,1\np0.png,2\n", InputError, "p0.png more than once"),
        ("detection", "path,class_index\np0.png,3\n", InputError, "cannot be read as COCO JSON"),
        ("detection", '{"images": []}', InputError, "annotations"),
        ("detection", "[1]", InputError, "cannot be read as COCO JSON"),
    ],
)
def test_a_truth_that_cannot_be_used_is_refused(folder, task, text, error, message):
    (folder / "truth").write_text(text)
    with pytest.raises(error, match=message):
        list_items(folder / "images", folder / "truth", task)


def test_pictures_are_listed_in_natural_order(tmp_path):
    (tmp_path / "deeper").mkdir()
    for name in ("p10.png", "p9.JPG", "deeper/p1.webp", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [item.picture for item in list_items(tmp_path, None, "detection")] == ["deeper/p1.webp", "p9.JPG", "p10.png"]
    assert natural_key("a2b") < natural_key("a10b") < natural_key("a²b")


def test_a_name_that_no_table_can_hold_is_refused(tmp_path):
    (tmp_path / "caf\udce9.png").write_bytes(b"")
    with pytest.raises(InputError, match="is not UTF-8 text: rename it"):
        list_items(tmp_path, None, "detection")


def test_what_is_said_of_a_file_that_is_no_picture_is_the_same_every_time(tmp_path):
    (tmp_path / "p.png").write_text("<html>404</html>")
    with pytest.raises(PictureError, match=r"it is no picture, or of an unknown format$"):
        read_picture(tmp_path / "p.png")


def test_pictures_are_read_upright_and_as_rgb(tmp_path):
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.full((4, 5), 40_000, np.uint16)).save(tmp_path / "deep.png")
    upright, _ = read_picture(tmp_path / "turned.jpg")
    assert upright.shape == (30, 20, 3)
    assert upright[:8].min() > 200
    assert upright[12:].max() < 50
    deep, _ = read_picture(tmp_path / "deep.png")
    assert deep.shape == (4, 5, 3)
    assert (deep == 40_000 >> 8).all()


@pytest.mark.parametrize("size", [(30_000, 30_000), (7_200, 7_200), (1, 200), (0, 0)])
def test_a_picture_over_the_bounds_is_refused_before_it_is_decoded(tmp_path, size):
    Image.new("L", (8, 8)).save(tmp_path / "huge.png")
    data = bytearray((tmp_path / "huge.png").read_bytes())
    data[16:24] = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(data)
    with pytest.raises(PictureError, match=r"huge\.png"):
        read_picture(tmp_path / "huge.png")
