"""Large JPEG pictures are decoded small for scoring, and whole when somebody wants them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from streamfilter import Scorer, StreamFilter
from streamfilter.errors import PictureError
from streamfilter.frame import Frame
from streamfilter.preprocess import model_input
from streamfilter.sources import ImagesSource, MjpegSource
from streamfilter.sources import images as images_module
from streamfilter.sources.pictures import declared_pixels, decode_picture, decode_reduced
from tests.media import exif_bytes
from tests.models import brightness_model

SIDE = 96


def photograph(name: str, width: int, quality: int, **options: object) -> bytes:
    """A large JPEG of a photograph that scikit-image ships, with a camera's noise."""
    picture = Image.fromarray(getattr(skimage.data, name)()).resize((width, width * 3 // 4), Image.Resampling.BICUBIC)
    noisy = np.asarray(picture) + np.random.default_rng(0).normal(0, 3, (width * 3 // 4, width, 3))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def test_smaller_but_large_enough_for_the_model_and_loaded_whole_on_demand(tmp_path: Path) -> None:
    data = photograph("coffee", 2000, 80)
    (tmp_path / "a.jpg").write_bytes(data)
    source = ImagesSource.from_folder(tmp_path)
    source.model_side = SIDE
    (frame,) = source
    assert frame.reduced is not None
    assert frame.reduced.array.shape == (375, 500, 3)
    assert frame.size_hw == (1500, 2000)
    assert frame.jpeg == data
    assert np.array_equal(frame.rgb, decode_picture(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_like_the_whole_picture(orientation: int) -> None:
    data = photograph("chelsea", 1600, 90, exif=exif_bytes(orientation))
    reduced, whole = decode_reduced(data, SIDE), Frame("x", 0, array=decode_picture(data))
    assert reduced is not None
    assert reduced.full_size_hw == whole.size_hw
    small = Frame("x", 0, reduced=reduced, jpeg=data)
    assert np.abs(model_input(small, SIDE).astype(int) - model_input(whole, SIDE)).mean() < 2


@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
@pytest.mark.parametrize("quality", [90, 50, 15])
def test_the_shipped_model_says_nearly_the_same(name: str, quality: int) -> None:
    scorer = Scorer("utility-nano", device="cpu")
    data = photograph(name, 3000, quality)
    reduced = decode_reduced(data, scorer.spec.input_size)
    assert reduced is not None
    frames = [Frame("x", 0, reduced=reduced), Frame("x", 0, array=decode_picture(data))]
    small, whole = scorer.score([model_input(frame, scorer.spec.input_size) for frame in frames])
    assert np.abs(small - whole).max() < 0.01


@pytest.mark.parametrize(
    "data",
    [photograph("coffee", 2000, 4), photograph("coffee", 400, 80), b"no picture"],
    ids=["coarse", "small", "other"],
)
def test_what_has_to_be_decoded_whole(data: bytes) -> None:
    assert decode_reduced(data, SIDE) is None


def test_damage_is_found_in_the_smaller_decode_too(tmp_path: Path) -> None:
    data = photograph("coffee", 2000, 80)
    with pytest.raises(PictureError):
        decode_reduced(data[: len(data) // 2], SIDE)
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    source = ImagesSource.from_folder(tmp_path)
    source.model_side = SIDE
    (frame,) = source
    assert frame.problem is not None


def test_a_bomb_is_left_to_the_bounds_of_the_whole_decode() -> None:
    data = bytearray(photograph("coffee", 400, 80))
    start = data.index(b"\xff\xc0")
    data[start + 5 : start + 9] = (60_000).to_bytes(2) * 2
    assert decode_reduced(bytes(data), SIDE) is None
    with pytest.raises(PictureError, match="megapixels"):
        decode_picture(bytes(data))


def test_the_filter_asks_for_small_ones_and_hands_on_whole_ones(tmp_path: Path) -> None:
    model, data = str(brightness_model(tmp_path / "b.onnx")), photograph("rocket", 1000, 80)
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(5):
        (folder / f"{index}.jpg").write_bytes(data)
    pairs = list(StreamFilter(model=model, device="cpu").filter(folder))
    assert [frame.index for frame, _ in pairs] == list(range(5))
    assert all(frame.reduced is not None and frame.rgb.shape == (750, 1000, 3) for frame, _ in pairs)
    stream = MjpegSource.from_stream(io.BytesIO(data * 3), "-")
    assert [frame.reduced is not None for frame, _ in StreamFilter(model=model, device="cpu").filter(stream)] == [
        True
    ] * 3


def test_without_a_model_in_sight_pictures_are_decoded_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photograph("coffee", 2000, 80))
    (frame,) = ImagesSource.from_folder(tmp_path)
    assert frame.reduced is None
    assert frame.array is not None


def test_large_pictures_are_decoded_alone_and_all_come_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = [], []
    original = images_module.picture_frame

    def watched(*args: object) -> Frame:
        running.append(args)
        most.append(len(running))
        frame = original(*args)
        running.remove(args)
        return frame

    monkeypatch.setattr(images_module, "picture_frame", watched)
    monkeypatch.setattr(images_module, "LARGE_PIXELS", 100)
    for index in range(8):
        (tmp_path / f"{index}.jpg").write_bytes(photograph("coffee", 400, 80))
    assert [frame.index for frame in ImagesSource.from_folder(tmp_path)] == list(range(8))
    assert max(most) == 1


def test_what_a_file_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(photograph("coffee", 400, 80))
    assert declared_pixels(path) == 400 * 300
    path.write_bytes(b"\xff\xd8\xff")
    assert declared_pixels(path) == 0
    assert declared_pixels(tmp_path / "none.jpg") == 0
