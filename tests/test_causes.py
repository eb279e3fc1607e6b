"""The cause of low utility: what is measured, what is told of distorted photographs, and what reaches the records."""

from __future__ import annotations

import io
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from streamfilter.causes import CauseModel, cause_of, measure_frame, shipped_model
from streamfilter.causes.jpeg import is_coarse, mean_step
from streamfilter.causes.sample import BLOCK, PATCH, take
from streamfilter.causes.statistics import measure
from streamfilter.distort import Distortion, apply
from streamfilter.errors import ConfigError, ModelError
from streamfilter.filter import StreamFilter
from streamfilter.frame import Cause, Frame, Reason
from tests.media import RGB, photograph
from tests.models import brightness_model

RANDOM = np.random.default_rng(7)


def still(rgb: RGB, **more: object) -> Frame:
    return Frame("picture.png", 0, array=rgb, **more)


def video(rgb: RGB, pix_fmt: str = "yuv420p") -> Frame:
    return Frame("clip.mp4", 0, native=av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=pix_fmt))


def statistics(rgb: RGB) -> dict[str, float]:
    return measure(take(still(rgb)))


def grey(values: np.ndarray) -> RGB:
    return np.repeat(np.clip(values, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def test_a_flat_picture_has_no_steps_and_its_own_brightness():
    flat = statistics(np.full((128, 160, 3), 200, np.uint8))
    assert flat["luma_mean"] == pytest.approx(200 / 255, abs=1e-6)
    assert flat["still"] == flat["flat"] == flat["colour_still"] == 1
    assert flat["black"] == flat["white"] == flat["torn"] == 0
    assert (statistics(np.zeros((64, 64, 3), np.uint8))["black"], flat["luma_1"]) == (1, pytest.approx(200 / 255))


def test_blocks_of_eight_are_seen_wherever_the_picture_was_cut():
    blocks = grey(np.kron(RANDOM.integers(60, 200, (20, 20)), np.ones((8, 8))) + RANDOM.integers(0, 2, (160, 160)))
    there, shifted = statistics(blocks), statistics(np.ascontiguousarray(blocks[3:131, 5:133]))
    assert there["grid_8"] > 2
    assert shifted["grid_8"] < 1
    assert min(there["any_grid"], shifted["any_grid"]) > 2


def test_grain_is_the_noises_and_blind_to_slopes():
    slope = np.linspace(20, 220, 192)[None, :] + np.zeros((192, 1))
    plain = statistics(grey(slope))
    noisy = [statistics(grey(slope + RANDOM.normal(0, deviation, slope.shape)))["grain"] for deviation in (5, 20)]
    assert plain["grain"] < noisy[0] < noisy[1]
    # The mask's weights squared sum to 36: noise of 5 answers with 30, 24 of it as the mean of its size.
    assert np.exp(noisy[0]) == pytest.approx(5 * 6 * np.sqrt(2 / np.pi), rel=0.1)


def test_a_shifted_slice_tears_one_border_and_blocks_tear_all():
    rows = photograph(256, 256)
    torn = rows.copy()
    torn[64:128] = np.roll(rows[64:128], 60, axis=1)
    assert statistics(torn)["worst_torn"] > 0.3 > statistics(rows)["worst_torn"]


LAYOUTS = ["yuv420p", "nv12", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuvj420p", "gray", "yuv420p10le"]


@pytest.mark.parametrize("pix_fmt", LAYOUTS)
def test_video_frames_measure_as_their_pictures_do(pix_fmt):
    rgb = photograph(240, 320)
    from_video = measure(take(video(rgb, pix_fmt)))
    from_picture = measure(take(still(grey(rgb.mean(axis=2)) if pix_fmt == "gray" else rgb)))
    assert list(from_video) == list(from_picture)
    for name in ("luma_mean", "luma_5", "luma_95", "step_1", "step_4", "slope_2", "grain", "colour"):
        assert from_video[name] == pytest.approx(from_picture[name], abs=0.25), name


def test_planes_with_padded_lines_are_cut_right():
    rgb = photograph(90, 130)  # lines of 130 pixels are stored longer
    assert take(video(rgb)).luma.shape == take(still(rgb)).luma.shape == (2, PATCH, PATCH)


@pytest.mark.parametrize("pix_fmt", ["yuv411p", "yuv410p"])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (33, 47), (65, 1000), (98, 134)])
def test_coarse_colours_have_pieces_as_large_as_any(height, width, pix_fmt):
    chroma = take(video(photograph(height, width), pix_fmt)).chroma
    assert chroma.shape == take(still(photograph(height, width))).chroma.shape


@pytest.mark.parametrize(("height", "width"), [(31, 400), (1, 1), (400, 16)])
def test_what_is_too_small_to_measure_has_no_cause(height, width):
    frame = still(np.zeros((height, width, 3), np.uint8))
    assert take(frame) is None
    assert measure_frame(frame) is None
    assert cause_of(frame, shipped_model()) is None


@pytest.mark.parametrize(("height", "width"), [(2 * BLOCK, 2 * BLOCK), (33, 47), (65, 1000), (1000, 65)])
def test_every_size_from_two_blocks_on_is_measured(height, width):
    values = measure_frame(still(photograph(height, width)))
    assert values.shape == (len(shipped_model().statistics),)
    assert np.isfinite(values).all()


def test_the_shipped_model_is_made_of_todays_statistics():
    assert shipped_model().statistics == tuple(statistics(photograph(96, 96)))


@pytest.mark.parametrize("wrap", [still, video], ids=["picture", "video"])
@pytest.mark.parametrize(
    ("kind", "strength", "cause"),
    [
        ("jpeg", 3, Cause.COMPRESSION),
        ("h264", 48, Cause.COMPRESSION),
        ("defocus", 3, Cause.BLUR),
        ("motion", 12, Cause.BLUR),
        ("lowres", 10, Cause.BLUR),
        ("noise", 70, Cause.NOISE),
        ("darkness", 7, Cause.DARK),
        ("overexposure", 5, Cause.OVER_EXPOSED),
        ("loss", 70, Cause.DAMAGED),
    ],
)
def test_a_distorted_photograph_gets_its_cause(wrap, kind, strength, cause):
    distorted = apply(photograph(288, 384), Distortion(kind, strength))
    assert cause_of(wrap(distorted), shipped_model()) is cause


def test_an_untouched_photograph_gets_none():
    assert cause_of(still(photograph(288, 384)), shipped_model()) is None


def jpeg_bytes(quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(photograph(96, 128)).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_a_jpeg_files_own_tables_tell_its_compression():
    assert is_coarse(jpeg_bytes(5))
    assert not is_coarse(jpeg_bytes(50))
    assert mean_step(jpeg_bytes(50)) == pytest.approx(57.625)
    black = np.zeros((96, 128, 3), np.uint8)
    assert cause_of(still(black, jpeg=jpeg_bytes(5)), shipped_model()) is Cause.COMPRESSION
    assert cause_of(still(black, jpeg=jpeg_bytes(95)), shipped_model()) is Cause.DARK


@pytest.mark.parametrize("size", [0, 1, 3, 20, 60])
def test_a_jpeg_cut_in_its_header_says_nothing(size):
    assert mean_step(jpeg_bytes(5)[:size]) is None
    assert mean_step(b"\xff\xd8" + b"\xff" * 40) is None
    assert mean_step(b"\xff\xd8\xff\xdb\x00\x00" + bytes(80)) is None


def changed(tmp_path: Path, **changes: object) -> Path:
    path = tmp_path / "causes.json"
    shipped_model().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_a_model_is_read_back_as_it_was_written(tmp_path):
    values = measure_frame(still(photograph(96, 96)))[None]
    again = CauseModel.load(changed(tmp_path))
    np.testing.assert_allclose(again.probabilities(values), shipped_model().probabilities(values), atol=1e-3)
    np.testing.assert_allclose(again.probabilities(values).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 9}, "is of version 9, this program reads 1"),
        ({"arrays": {}}, "is not a model of causes"),
        ({"statistics": ["luma"]}, "bad model of causes: mean is"),
        ({"answers": ["rain"] * 7}, "unknown answer 'rain'"),
    ],
)
def test_a_wrong_model_is_refused(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        CauseModel.load(changed(tmp_path, **changes))


def test_a_missing_or_cut_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"cannot read the model of causes .*No such file.*install streamfilter again"):
        CauseModel.load(tmp_path / "none.json")
    path = changed(tmp_path)
    path.write_text(path.read_text()[:500])
    with pytest.raises(ModelError, match="is not a model of causes"):
        CauseModel.load(path)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(brightness_model(tmp_path_factory.mktemp("model") / "bright.onnx"))


def test_only_frames_that_are_not_useful_get_a_cause(model):
    stream_filter = StreamFilter(model=model, device="cpu")
    dark, bright = photograph(96, 128) // 24, np.maximum(photograph(96, 128), 200)
    frames = [still(dark), still(bright), Frame("x", 2, problem="cut short")]
    decisions, _ = stream_filter.decide(frames, stream_filter.new_state())
    assert [(one.reason, one.cause) for one in decisions] == [
        (Reason.LOW_UTILITY, Cause.DARK),
        (Reason.USEFUL, None),
        (Reason.UNREADABLE, None),
    ]


def test_causes_can_be_switched_off_and_nothing_else_will_do(model):
    stream_filter = StreamFilter(model=model, device="cpu", causes=False)
    (decision,), _ = stream_filter.decide([still(photograph(96, 128) // 24)], stream_filter.new_state())
    assert (decision.reason, decision.cause) == (Reason.LOW_UTILITY, None)
    with pytest.raises(ConfigError, match="causes is 'no', expected true or false"):
        StreamFilter(model=model, device="cpu", causes="no")
