"""Distortions: what they do, that they always do the same, and what they refuse."""

from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from streamfilter.distort import COMBINED, JPEG_QUALITIES, KINDS, Distortion, Kind, apply, draw, parse
from streamfilter.errors import ConfigError, ShapeError
from trainer.__main__ import main
from trainer.augment import augment
from trainer.sheet import contact_sheet


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """A smooth scene with an edge and some texture, 120 x 161."""
    y, x = np.mgrid[0:120, 0:161]
    noise = np.random.default_rng(5).normal(0, 6, (120, 161))
    planes = [90 + 60 * np.sin(x / 17) + noise, 120 + y / 2 + 40 * (x > y), 200 - x / 2 + noise]
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def error(left: np.ndarray, right: np.ndarray) -> float:
    return float(np.abs(left.astype(float) - right).mean())


def test_stronger_compression_leaves_larger_errors(photograph):
    errors = [error(apply(photograph, Distortion("jpeg", quality)), photograph) for quality in JPEG_QUALITIES]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 3 * errors[-1]


def test_jpeg_is_what_another_libjpeg_program_makes(photograph):
    file = BytesIO()
    Image.fromarray(photograph).save(file, "JPEG", quality=12, subsampling="4:2:0")
    theirs = np.array(Image.open(file))
    assert error(apply(photograph, Distortion("jpeg", 12)), theirs) < 0.5


def test_the_same_input_gives_the_same_picture_of_the_same_size(photograph):
    once, twice = (apply(photograph, Distortion("jpeg", 3)) for _ in range(2))
    assert once.shape == photograph.shape
    assert once.dtype == np.uint8
    assert np.array_equal(once, twice)


def test_pristine_changes_nothing(photograph):
    assert apply(photograph, Distortion("pristine")) is photograph


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_does_more_at_a_higher_level_and_the_same_each_time(photograph, name):
    versions = [apply(photograph, Distortion(name, KINDS[name].at(level))) for level in (1, 3, 5)]
    errors = [error(version, photograph) for version in versions]
    assert all(version.shape == photograph.shape and version.dtype == np.uint8 for version in versions)
    assert errors[0] < errors[1] < errors[2]
    assert np.array_equal(versions[1], apply(photograph, Distortion(name, KINDS[name].at(3))))


@pytest.mark.parametrize("name", KINDS)
def test_levels_lie_within_the_range_and_in_order(name):
    kind = KINDS[name]
    assert len(kind.levels) == 5
    assert list(kind.levels) in (sorted(kind.levels), sorted(kind.levels, reverse=True))
    assert kind.lowest <= min(kind.levels)
    assert max(kind.levels) <= kind.highest
    assert kind.at(2) == kind.levels[1]


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (65, 33)])
@pytest.mark.parametrize("name", KINDS)
def test_no_size_is_too_small_or_odd(shape, name):
    noise = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert apply(noise, Distortion(name, KINDS[name].at(4))).shape == noise.shape


def test_a_combination_is_one_kind_after_the_other(photograph):
    first, second = COMBINED[0]
    step = apply(photograph, Distortion(first, KINDS[first].at(3)))
    wanted = apply(step, Distortion(second, KINDS[second].at(3)))
    assert np.array_equal(apply(photograph, Distortion(f"{first}+{second}", 3)), wanted)


def test_blur_keeps_the_mean_and_darkness_halves_the_light(photograph):
    blurred = apply(photograph, Distortion("defocus", 3))
    assert blurred.mean() == pytest.approx(photograph.mean(), abs=1)
    light = (photograph / 255.0) ** 2.2
    dark = (apply(photograph, Distortion("darkness", 1)) / 255.0) ** 2.2
    assert dark.mean() == pytest.approx(light.mean() / 2, rel=0.03)


def test_noise_has_the_deviation_it_is_given():
    grey = np.full((100, 100, 3), 128, np.uint8)
    assert apply(grey, Distortion("noise", 20)).std() == pytest.approx(20, rel=0.05)


def test_pictures_bring_seeds_of_their_own(photograph):
    left = apply(photograph, Distortion("noise", 20)).astype(int) - photograph
    other = photograph.copy()
    other[0, 0] += 1
    assert not np.array_equal(left, apply(other, Distortion("noise", 20)).astype(int) - other)


def test_the_decoder_hides_few_lost_packets_and_fails_at_many(photograph):
    few, many = (error(apply(photograph, Distortion("loss", share)), photograph) for share in (1, 90))
    assert 5 * few < many


def test_drawn_distortions_differ_and_depend_on_the_seed_alone():
    drawn = draw(("jpeg", "noise", "lowres"), 7, "a picture")
    assert len(set(drawn)) == 7
    assert {one.kind for one in drawn} == {"jpeg", "noise", "lowres"}
    assert drawn == draw(("jpeg", "noise", "lowres"), 7, "a picture") != draw(("jpeg", "noise", "lowres"), 7, "another")


def test_distortions_are_typed_as_words():
    assert parse("jpeg=3,50 noise") == (
        Distortion("jpeg", 3), Distortion("jpeg", 50), *(Distortion("noise", one) for one in KINDS["noise"].levels)
    )  # fmt: skip
    assert {one.kind for one in parse("all")} == set(KINDS)


@pytest.mark.parametrize("text", ["", "haze", "jpeg=low", "jpeg=0"])
def test_words_that_name_no_distortion_are_refused(text):
    with pytest.raises(ConfigError, match=r"wanted all|outside|no distortion"):
        parse(text)


def test_the_contact_sheet_shows_every_strength(photograph):
    sheet = contact_sheet(photograph, ("jpeg", "noise"))
    assert sheet.shape[1] > 5 * 144
    assert len(np.unique(sheet[24:120, 8:140].reshape(-1, 3), axis=0)) > 500


def test_the_contact_sheet_replaces_no_picture_and_names_a_place_that_is_none(photograph, tmp_path):
    picture = tmp_path / "p.png"
    Image.fromarray(photograph).save(picture)
    before = picture.read_bytes()
    for out, told in ((picture, "is the picture itself"), (picture / "sheet.png", "cannot write")):
        done = CliRunner().invoke(main, ["sheet", str(picture), "--kind", "noise", "--out", str(out)])
        assert done.exit_code == 1
        assert told in done.stderr
        assert done.stderr.count("\n") == 1
    assert picture.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "strength", "message"),
    [
        ("jpeg", 0, r"jpeg strength 0 outside 1-100 \(libjpeg quality\)"),
        ("jpeg", 101, "outside 1-100"),
        ("jpeg", float("nan"), "outside 1-100"),
        ("jpeg", None, "outside 1-100"),
        ("jpeg", 2.5, "not whole"),
        ("pristine", 3, "no strength"),
        ("haze", 1, "unknown distortion 'haze', known: pristine, jpeg"),
    ],
)
def test_an_impossible_distortion_is_refused(kind, strength, message):
    with pytest.raises(ConfigError, match=message):
        Distortion(kind, strength)


def test_a_further_kind_is_one_entry_in_the_table(photograph, monkeypatch):
    def darken(rgb, stops):
        return (rgb / 2**stops).astype(np.uint8)

    monkeypatch.setitem(KINDS, "dark", Kind(darken, 0, 4, (0.5, 1, 2, 3, 4), "stops"))
    assert apply(photograph, Distortion("dark", 1)).max() == photograph.max() // 2
    with pytest.raises(ConfigError, match=r"0-4 \(stops\)"):
        Distortion("dark", 5)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4)])
def test_what_is_no_rgb_picture_is_refused(shape):
    with pytest.raises(ShapeError, match="expected"):
        apply(np.zeros(shape, np.uint8), Distortion("jpeg", 5))


def test_augmentation_depends_on_the_seed_alone(photograph):
    first, again, other = (augment(photograph, seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == photograph.shape


def test_augmented_boxes_stay_on_their_objects():
    """A red object on black: wherever it goes, the box that comes back encloses the red pixels."""
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[60:120, 90:180, 0] = 255
    box = np.array([[0.3, 0.3, 0.6, 0.6]], np.float32)
    seen = 0
    for seed in range(1, 25):
        moved, boxes, kept = augment(picture, seed, box)
        if not kept[0]:
            continue
        seen += 1
        rows, columns = np.nonzero(moved[..., 0].astype(int) - moved[..., 1] > 60)
        found = [columns.min() / 300, rows.min() / 200, (columns.max() + 1) / 300, (rows.max() + 1) / 200]
        assert boxes[0] == pytest.approx(found, abs=0.015), seed
    assert seen > 15


def test_objects_mostly_outside_the_crop_are_dropped():
    picture = np.zeros((100, 100, 3), np.uint8)
    corners = np.array([[0, 0, 0.04, 0.04], [0.96, 0.96, 1, 1], [0.3, 0.3, 0.7, 0.7]], np.float32)
    dropped = np.zeros(3, int)
    for seed in range(1, 40):
        _, boxes, kept = augment(picture, seed, corners)
        assert len(boxes) == kept.sum()
        assert (boxes >= 0).all()
        assert (boxes <= 1).all()
        dropped += ~kept
    assert dropped[2] == 0
    assert (dropped[:2] > 5).all()
