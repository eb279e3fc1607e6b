"""One picture into the kit: copied, linked, made smaller, or kept."""

import os

import numpy as np
import pytest
from PIL import Image

from streamfilter.digest import file_sha256
from tests.own_data import picture
from trainer.kit.placing import Placing, place
from trainer.pictures import read_picture


def test_larger_pictures_are_made_smaller_and_others_kept(tmp_path):
    large = picture(tmp_path / "large.png", 1, (90, 60))
    small = picture(tmp_path / "small.png", 2, (50, 30))
    how = Placing(shorter_side=30)
    first = place(large, tmp_path / "kit", "large.png", how)
    second = place(small, tmp_path / "kit", "small.png", how)
    assert (first.name, first.width, first.height) == ("large.png.jpg", 45, 30)
    assert (second.name, second.width, second.height) == ("small.png", 50, 30)
    assert second.content_hash == file_sha256(small)
    assert first.content_hash == file_sha256(tmp_path / "kit" / first.name)
    with Image.open(tmp_path / "kit" / first.name) as written:
        assert (written.format, written.size) == ("JPEG", (45, 30))
        assert [layer[1:3] for layer in written.layer] == [(1, 1)] * 3
        mean = np.asarray(written).mean()
    assert mean == pytest.approx(read_picture(large)[0].mean(), abs=2)


def test_an_upright_size_is_noted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = picture(tmp_path / "turned.jpg", 3, (60, 40), exif=exif)
    for kept in (False, True):
        placed = place(turned, tmp_path / "kit", "turned.jpg", Placing())
        assert (placed.width, placed.height, placed.kept) == (40, 60, kept)
    smaller = place(turned, tmp_path / "kit", "turned.jpg", Placing(shorter_side=20))
    assert (smaller.width, smaller.height) == (20, 30)


@pytest.mark.parametrize("how", [Placing(), Placing(shorter_side=20), Placing(link=True)], ids=str)
def test_what_is_there_is_kept_and_what_is_not_as_wanted_is_made_again(tmp_path, how):
    source = picture(tmp_path / "source.png", 1)
    first = place(source, tmp_path / "kit", "p.png", how)
    made = tmp_path / "kit" / first.name
    stamp = made.lstat().st_mtime_ns
    again = place(source, tmp_path / "kit", "p.png", how)
    assert again.kept
    assert not first.kept
    assert again.content_hash == first.content_hash
    assert made.lstat().st_mtime_ns == stamp
    assert made.is_symlink() == how.link
    picture(source, 2)
    os.utime(source, (made.stat().st_mtime + 5,) * 2)
    changed = place(source, tmp_path / "kit", "p.png", how)
    assert changed.kept == how.link
    assert changed.content_hash != first.content_hash


def test_changing_how_pictures_are_placed_never_touches_the_source(tmp_path):
    source = picture(tmp_path / "source.jpg", 1)
    before = source.read_bytes()
    sizes = []
    for how in (Placing(link=True), Placing(), Placing(20), Placing(30), Placing(link=True), Placing(20, link=True)):
        placed = place(source, tmp_path / "kit", "p.jpg", how)
        assert not placed.kept
        sizes.append(min(placed.width, placed.height))
    assert sizes == [40, 40, 20, 30, 40, 20]
    assert source.read_bytes() == before
    assert not list((tmp_path / "kit").glob(".*"))


def test_a_cut_off_copy_is_made_again(tmp_path):
    source = picture(tmp_path / "source.png", 1)
    made = tmp_path / "kit" / place(source, tmp_path / "kit", "p.png", Placing()).name
    made.write_bytes(source.read_bytes()[:200])
    assert not place(source, tmp_path / "kit", "p.png", Placing()).kept
    assert made.read_bytes() == source.read_bytes()
