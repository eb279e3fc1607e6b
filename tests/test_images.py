"""Picture files: order, names, and every depth, colour and orientation."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamfilter.errors import InputError, PictureError
from streamfilter.frame import Frame
from streamfilter.sources import ImagesSource
from streamfilter.sources import images as images_module
from streamfilter.sources import pictures as pictures_module
from streamfilter.sources.pictures import decode_picture
from tests.media import (
    CORNERS,
    bomb_png,
    corner_colours,
    corners,
    exif_bytes,
    jpeg_bytes,
    photograph,
    png_bytes,
)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def read(folder: Path) -> list[Frame]:
    return list(ImagesSource.from_folder(folder))


def problem_of(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "picture.jpg").write_bytes(data)
    (frame,) = read(tmp_path)
    assert not frame.is_readable
    assert frame.jpeg is None
    return frame.problem


def test_natural_order_across_folders_and_names_relative_to_the_folder(tmp_path: Path) -> None:
    data = jpeg_bytes(corners(16, 16))
    for name in ("b/img10.jpg", "b/img2.JPG", "a10/x.jpg", "a2/x.jpg", ".hidden.jpg", ".git/x.jpg", "z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"text" if name == "z.txt" else data)
    frames = read(tmp_path)
    assert [frame.name for frame in frames] == ["a2/x.jpg", "a10/x.jpg", "b/img2.JPG", "b/img10.jpg"]
    assert [frame.input for frame in frames] == [str(tmp_path / frame.name) for frame in frames]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]


def test_list_keeps_its_order_and_tells_equal_names_apart(tmp_path: Path) -> None:
    paths = [tmp_path / "b" / "x.png", tmp_path / "a" / "x.png", tmp_path / "a" / "y.png"]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(saved(Image.new("RGB", (4, 4)), "PNG"))
    assert [frame.name for frame in ImagesSource(paths)] == ["b/x.png", "a/x.png", "a/y.png"]
    assert [frame.name for frame in ImagesSource(paths[1:])] == ["x.png", "y.png"]


def test_pictures_are_found_by_content_without_a_suffix(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"):
        (tmp_path / kind).write_bytes(saved(Image.fromarray(photograph()), kind))
    (tmp_path / "README").write_text("BM, is this a bitmap? no")
    frames = read(tmp_path)
    assert [frame.name for frame in frames] == ["BMP", "JPEG", "PNG", "TIFF", "WEBP"]
    assert all(np.abs(frame.rgb.astype(int) - photograph()).mean() < 4 for frame in frames)


def test_only_jpeg_bytes_ride_along(tmp_path: Path) -> None:
    data = jpeg_bytes(photograph(), exif=exif_bytes(6))
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "b.png").write_bytes(saved(Image.fromarray(photograph()), "PNG"))
    assert [frame.jpeg for frame in read(tmp_path)] == [data, None]


# Exif 2.32, tag 0x0112: the corner in which row 0, column 0 of the stored picture is seen, written as the stored
# picture that looks upright after the correction.
STORED = {
    1: lambda rgb: rgb,
    2: lambda rgb: rgb[:, ::-1],
    3: lambda rgb: rgb[::-1, ::-1],
    4: lambda rgb: rgb[::-1],
    5: lambda rgb: rgb.transpose(1, 0, 2),
    6: lambda rgb: np.rot90(rgb, 1),
    7: lambda rgb: rgb[::-1, ::-1].transpose(1, 0, 2),
    8: lambda rgb: np.rot90(rgb, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_undone(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](corners(32, 48)))
    rgb = decode_picture(jpeg_bytes(stored, exif=exif_bytes(orientation)))
    assert rgb.shape == (32, 48, 3)
    assert np.array_equal(corner_colours(rgb), CORNERS)


@pytest.mark.parametrize("exif", [exif_bytes(9), exif_bytes()[:12], b"Exif\0\0nonsense", exif_bytes(0)])
def test_senseless_exif_leaves_the_picture_as_it_is(exif: bytes) -> None:
    assert np.array_equal(corner_colours(decode_picture(jpeg_bytes(corners(), exif=exif))), CORNERS)


def test_grey_becomes_rgb() -> None:
    rgb = decode_picture(saved(Image.new("L", (5, 3), 77), "PNG"))
    assert rgb.shape == (3, 5, 3)
    assert np.all(rgb == 77)


def test_bilevel_and_palette() -> None:
    assert np.all(decode_picture(saved(Image.new("1", (4, 4), 1), "PNG")) == 255)
    palette = Image.fromarray(corners(16, 16)).quantize(4)
    assert np.array_equal(corner_colours(decode_picture(saved(palette, "PNG"))), CORNERS)


def test_adobe_cmyk_is_not_a_negative() -> None:
    data = saved(Image.fromarray(corners(32, 32)).convert("CMYK"), "JPEG", quality=95)
    assert b"Adobe" in data
    assert np.array_equal(corner_colours(decode_picture(data)), CORNERS)


def test_sixteen_bit_samples_keep_their_high_byte() -> None:
    values = [0x0000, 0x00FF, 0x0100, 0x80FF, 0xFF00, 0xFFFF]
    expected = [0, 0, 1, 128, 255, 255]
    grey = decode_picture(png_bytes(6, 1, 16, 0, b"\0" + struct.pack(">6H", *values)))
    colour = decode_picture(png_bytes(2, 1, 16, 2, b"\0" + struct.pack(">6H", *values)))
    tiff = decode_picture(saved(Image.fromarray(np.array([values], dtype=np.uint16)), "TIFF"))
    assert grey[0].tolist() == tiff[0].tolist() == [[value] * 3 for value in expected]
    assert colour.reshape(-1).tolist() == expected


@pytest.mark.parametrize(("alpha", "seen"), [(255, (200, 100, 50)), (0, (0, 0, 0)), (128, (100, 50, 25))])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_is_laid_over_black(alpha: int, seen: tuple[int, int, int], kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    rgb = decode_picture(saved(Image.new("RGBA", (4, 4), (200, 100, 50, alpha)), kind, **options))
    assert np.abs(rgb.astype(int) - seen).max() <= 1


def test_transparent_palette_entry_is_black() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((1, 0), 1)
    assert decode_picture(saved(picture, "PNG", transparency=1))[0].tolist() == [[10, 20, 30], [0, 0, 0]]


def test_float_pictures_are_refused() -> None:
    data = saved(Image.fromarray(np.zeros((4, 4), dtype=np.float32)), "TIFF")
    with pytest.raises(PictureError, match="range is unknown"):
        decode_picture(data)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_truncated_picture_is_unreadable(tmp_path: Path, kind: str, share: float) -> None:
    data = saved(Image.fromarray(photograph()), kind)
    assert problem_of(tmp_path, data[: int(len(data) * share)])


def test_text_named_as_a_picture_is_unreadable(tmp_path: Path) -> None:
    assert "is not a JPEG, PNG" in problem_of(tmp_path, b"hello\n" * 99)


def test_empty_file_in_a_folder_is_unreadable(tmp_path: Path) -> None:
    assert "empty" in problem_of(tmp_path, b"")


@pytest.mark.parametrize("size", [(30_000, 30_000), (10_001, 10_000), (2**31 - 1, 2**31 - 1), (0, 5)])
def test_huge_or_senseless_size_in_a_small_header_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    data = bomb_png(*size)
    assert len(data) < 200
    problem = problem_of(tmp_path, data)
    assert size[0] == 0 or f"declares {size[0]}x{size[1]} pixels, over the bound of 100 megapixels" in problem


@pytest.mark.parametrize(("bound", "readable"), [(240 * 320, True), (240 * 320 - 1, False)])
def test_bound_on_pixels_is_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: int, readable: bool) -> None:
    monkeypatch.setattr(pictures_module, "MAX_PIXELS", bound)
    (tmp_path / "picture.png").write_bytes(saved(Image.fromarray(photograph(240, 320)), "PNG"))
    assert [frame.is_readable for frame in read(tmp_path)] == [readable]


def test_first_picture_of_a_multi_picture_jpeg_is_read() -> None:
    first, second = Image.fromarray(photograph()), Image.new("RGB", (8, 8))
    rgb = decode_picture(saved(first, "MPO", save_all=True, append_images=[second], quality=95))
    assert np.abs(rgb.astype(int) - photograph()).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_mutilated_bytes_raise_nothing_but_picture_errors(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(pictures_module, "MAX_PIXELS", 100_000)
    options = {"exif": exif_bytes(6)} if kind in ("JPEG", "PNG", "WEBP") else {}
    whole = np.frombuffer(saved(Image.fromarray(photograph(24, 32)), kind, **options), dtype=np.uint8)
    random = np.random.default_rng(0)
    for _ in range(100):
        data = whole.copy()
        data[random.integers(4, len(data), 6)] = random.integers(0, 256, 6)
        data[random.integers(4, 64, 2)] = random.integers(0, 256, 2)
        with contextlib.suppress(PictureError):
            assert decode_picture(data.tobytes()).shape[2] == 3


def test_oversized_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images_module, "MAX_PICTURE_BYTES", 100)
    assert "over the bound of 100" in problem_of(tmp_path, jpeg_bytes(photograph()))


def test_one_unreadable_picture_does_not_stop_the_rest(tmp_path: Path) -> None:
    good = jpeg_bytes(photograph())
    for index, data in enumerate([good, good[:500], good]):
        (tmp_path / f"{index}.jpg").write_bytes(data)
    assert [frame.is_readable for frame in read(tmp_path)] == [True, False, True]


def test_file_gone_before_its_turn_is_unreadable(tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.png" for index in range(images_module.READERS + 2)]
    for path in paths:
        path.write_bytes(saved(Image.new("RGB", (4, 4)), "PNG"))
    source = ImagesSource(paths)
    iterator = iter(source)
    next(iterator)
    paths[-1].unlink()
    *rest, last = iterator
    assert all(frame.is_readable for frame in rest)
    assert "cannot be read" in last.problem


def test_empty_list_is_refused() -> None:
    with pytest.raises(InputError, match="no pictures"):
        ImagesSource([])
