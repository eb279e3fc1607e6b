"""The model's picture from the decoder's planes is the one from full-size RGB."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from streamfilter.consumers.onnx import Fit
from streamfilter.errors import PictureError, ShapeError
from streamfilter.frame import RGB, Frame
from streamfilter.preprocess import model_input, shrink
from streamfilter.sources import VideoSource
from streamfilter.sources.container import mend_colours
from streamfilter.spec import STRETCH, WITH_CENTRE, centre_side, input_hw
from tests.media import corner_colours, corners, photograph, write_video

SIZE = 128
COLOURS = {"bt601": ("ITU601", 5), "bt709": ("ITU709", 1)}


def distance(first: RGB, second: RGB) -> float:
    return float(np.abs(first.astype(int) - second.astype(int)).mean())


def native(rgb: RGB, pix_fmt: str, space: str = "bt601", full: bool = False) -> av.VideoFrame:
    """A picture as a decoder would give it: converted and tagged."""
    name, tag = COLOURS[space]
    colour_range = "JPEG" if full else "MPEG"
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
        format=pix_fmt, dst_colorspace=name, dst_color_range=colour_range
    )
    frame.colorspace, frame.color_range = tag, 2 if full else 1
    return frame


@pytest.mark.parametrize("space", COLOURS)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le"])
@pytest.mark.parametrize("size_hw", [(240, 320), (241, 319)])
def test_planes_give_the_colours_of_the_picture(pix_fmt: str, space: str, size_hw: tuple[int, int]) -> None:
    rgb = photograph(*size_hw)
    frame = Frame("clip", 0, native=native(rgb, pix_fmt, space, full=pix_fmt == "yuvj420p"))
    small = model_input(frame, SIZE)
    assert small.shape == (SIZE, SIZE, 3)
    assert small.dtype == np.uint8
    assert distance(small, shrink(rgb, SIZE)) < 2
    assert distance(small, shrink(frame.rgb, SIZE)) < 2


@pytest.mark.parametrize("fit", [STRETCH, WITH_CENTRE])
@pytest.mark.parametrize("size_hw", [(240, 320), (241, 319), (100, 90)])
def test_what_hardware_decodes_gives_the_picture_of_software(size_hw: tuple[int, int], fit: str) -> None:
    planar = native(photograph(*size_hw), "yuv420p")
    both = Frame("clip", 0, native=planar), Frame("clip", 0, native=planar.reformat(format="nv12"))
    software, hardware = (model_input(frame, SIZE, fit) for frame in both)
    assert np.array_equal(software, hardware)


def test_full_range_may_be_told_by_the_tag_alone() -> None:
    rgb = photograph()
    frame = Frame("clip", 0, native=native(rgb, "yuv420p", full=True))
    assert distance(model_input(frame, SIZE), shrink(rgb, SIZE)) < 2
    assert distance(frame.rgb, rgb) < 3


def test_a_jpeg_format_without_a_range_is_full_range() -> None:
    rgb = photograph()
    picture = native(rgb, "yuvj420p", full=True)
    picture.color_range = 0
    assert mend_colours(picture) is None
    assert distance(model_input(Frame("clip", 0, native=picture), SIZE), shrink(rgb, SIZE)) < 2


@pytest.mark.parametrize("matrix", [3, 8, 14])
def test_colours_that_cannot_be_scaled_make_a_frame_unreadable_unless_mended(matrix: int) -> None:
    rgb = photograph()
    picture = native(rgb, "yuv420p")
    picture.colorspace = matrix
    frame = Frame("clip", 7, native=picture)
    with pytest.raises(PictureError, match="frame 7 of clip cannot be scaled: Operation not supported"):
        model_input(frame, SIZE)
    assert mend_colours(picture) == f"colour matrix {matrix} or range 1"
    assert distance(model_input(frame, SIZE), shrink(rgb, SIZE)) < 2


def test_grey_and_rgb_formats() -> None:
    rgb = photograph()
    grey = np.asarray(rgb.mean(axis=2), dtype=np.uint8)
    frame = Frame("clip", 0, native=av.VideoFrame.from_ndarray(grey, format="gray"))
    assert distance(model_input(frame, SIZE), shrink(np.repeat(grey[:, :, None], 3, axis=2), SIZE)) < 2
    frame = Frame("clip", 0, native=av.VideoFrame.from_ndarray(rgb[:, :, ::-1].copy(), format="bgr24"))
    assert np.array_equal(model_input(frame, SIZE), shrink(rgb, SIZE))


@pytest.mark.parametrize("size", [16, 100, 300, 640])
def test_any_input_size_up_and_down(size: int) -> None:
    frame = Frame("clip", 0, native=native(photograph(), "yuv420p"))
    assert distance(model_input(frame, size), shrink(photograph(), size)) < 2.5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options"),
    [("libx264", "yuv420p", {"crf": "8"}), ("libx264", "yuvj420p", {"crf": "8"}), ("mjpeg", "yuvj420p", {"q": "2"})],
)
@pytest.mark.parametrize("size_hw", [(240, 320), (238, 322)])
def test_decoded_video_agrees_with_full_size_rgb(
    tmp_path: Path, codec: str, pix_fmt: str, options: dict[str, str], size_hw: tuple[int, int]
) -> None:
    rgb = photograph(*size_hw)
    path = write_video(tmp_path / "clip.mkv", [rgb] * 2, codec=codec, pix_fmt=pix_fmt, options=options)
    frame = next(iter(VideoSource(path)))
    small = model_input(frame, SIZE)
    assert distance(small, shrink(frame.rgb, SIZE)) < 2
    assert distance(small, shrink(rgb, SIZE)) < 4


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12"])
def test_rotation_and_mirroring_are_applied(degrees: int, mirrored: bool, pix_fmt: str) -> None:
    stored = native(np.rot90(corners()[:, ::-1] if mirrored else corners(), -degrees // 90), pix_fmt)
    frame = Frame("clip", 0, native=stored, rotation_degrees=degrees, is_mirrored=mirrored)
    assert np.array_equal(corner_colours(model_input(frame, SIZE)), corner_colours(corners()))
    assert distance(model_input(frame, SIZE), shrink(frame.rgb, SIZE)) < 2


@pytest.mark.parametrize("size_hw", [(240, 320), (320, 241), (240, 240), (240, 900)])
def test_the_centre_is_what_classifiers_are_shown(size_hw: tuple[int, int]) -> None:
    rgb = photograph(*size_hw)
    both = shrink(rgb, SIZE, WITH_CENTRE)
    side = centre_side(SIZE)
    assert both.shape == (*input_hw(SIZE, WITH_CENTRE), 3) == (SIZE + side, SIZE, 3)
    assert np.array_equal(both[:SIZE], shrink(rgb, SIZE))
    # It may begin half a pixel beside.
    shown = Fit("shorter_side_then_center_crop", side)(rgb)
    assert distance(cv2.blur(both[SIZE:, :side], (9, 9)), cv2.blur(shown, (9, 9))) < 3
    assert not both[SIZE:, side:].any()


@pytest.mark.parametrize("degrees", [0, 90, 270])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "nv12"])
@pytest.mark.parametrize("size_hw", [(240, 320), (241, 319), (480, 270)])
def test_the_centre_comes_from_the_planes_too(pix_fmt: str, degrees: int, size_hw: tuple[int, int]) -> None:
    stored = native(photograph(*size_hw), pix_fmt, full=pix_fmt == "yuvj420p")
    frame = Frame("clip", 0, native=stored, rotation_degrees=degrees)
    both = model_input(frame, SIZE, WITH_CENTRE)
    assert np.array_equal(both[:SIZE], model_input(frame, SIZE))
    upright = shrink(frame.rgb, SIZE, WITH_CENTRE)
    assert distance(cv2.blur(both[SIZE:], (9, 9)), cv2.blur(upright[SIZE:], (9, 9))) < 3


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size_hw", [(1, 1), (2, 2), (1, 3), (3, 900)])
def test_tiny_frames_have_a_centre(pix_fmt: str, size_hw: tuple[int, int]) -> None:
    frame = Frame("clip", 0, native=native(photograph(*size_hw), pix_fmt))
    assert model_input(frame, SIZE, WITH_CENTRE).shape == (*input_hw(SIZE, WITH_CENTRE), 3)


def test_pictures_are_shrunk_as_they_are() -> None:
    frame = Frame("a.jpg", 0, array=photograph())
    assert np.array_equal(model_input(frame, SIZE), shrink(photograph(), SIZE))
    assert np.all(shrink(np.full((50, 90, 3), 77, dtype=np.uint8), 32) == 77)


def test_unreadable_frames_and_wrong_arrays_are_refused() -> None:
    with pytest.raises(PictureError, match="frame 3 of clip has no pixels: cut"):
        model_input(Frame("clip", 3, problem="cut"), SIZE)
    with pytest.raises(ShapeError):
        shrink(np.zeros((4, 4), dtype=np.uint8), SIZE)
    with pytest.raises(ShapeError):
        shrink(np.zeros((4, 4, 3), dtype=np.float32), SIZE)
    with pytest.raises(ShapeError, match="got list"):
        shrink([[[0, 0, 0]]], SIZE)


@pytest.mark.parametrize("size_hw", [(0, 0), (0, 4), (4, 0)])
def test_a_picture_without_pixels_is_refused(size_hw: tuple[int, int]) -> None:
    empty = np.zeros((*size_hw, 3), dtype=np.uint8)
    with pytest.raises(ShapeError, match="at least one pixel"):
        shrink(empty, SIZE)
    with pytest.raises(ShapeError, match="at least one pixel"):
        Frame("clip", 3, array=empty)


@pytest.mark.parametrize("pts_seconds", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_time_that_is_none_is_refused(pts_seconds: float) -> None:
    with pytest.raises(ValueError, match=r"pts_seconds is -?(nan|inf|10+), expected a finite number or None"):
        Frame("clip", 3, pts_seconds, problem="cut")


def test_planes_are_averaged_over_areas_as_pictures_are() -> None:
    large = cv2.resize(photograph(360, 640), (1280, 720), interpolation=cv2.INTER_CUBIC)
    noisy = np.clip(large + np.random.default_rng(0).normal(0, 25, large.shape), 0, 255).astype(np.uint8)
    frame = native(noisy, "yuv420p")
    reference = shrink(frame.to_ndarray(format="rgb24"), 288)
    found = model_input(Frame("clip", 0, 0.0, native=frame), 288)
    assert np.abs(found.astype(int) - reference).mean() < 1.5


def test_threads_scale_side_by_side() -> None:
    frames = [native(photograph(240 + 2 * index, 320 + 2 * index), "yuv420p") for index in range(8)]
    alone = [model_input(Frame("clip", 0, 0.0, native=frame), 96) for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: model_input(Frame("clip", 0, 0.0, native=frame), 96), frames * 20))
    for index, picture in enumerate(together):
        np.testing.assert_array_equal(picture, alone[index % len(alone)])
