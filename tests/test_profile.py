"""Profiles: written and read back, refused when they are wrong, applied by the filter."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamfilter import StreamFilter
from streamfilter.config import Settings
from streamfilter.digest import file_sha256
from streamfilter.errors import ConfigError
from streamfilter.profile import Profile
from streamfilter.stream_config import LiveSettings
from tests.models import brightness_model
from tests.profiles import QUANTILES, make_profile, write_profile


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"inputs": ("a b.mp4", 'quo"te\\.mp4', "tab\t\x7f\n", "Ünïcode \U0001f600"), "consumer": ""},
        {"thresholds": {"detection": 0.1 + 0.2, "classification": 0.0}, "task": "any"},
    ],
)
def test_what_is_written_is_read_back(tmp_path: Path, changes: dict[str, object]) -> None:
    profile = make_profile(**changes)
    path = write_profile(tmp_path / "profile.toml", **changes)
    read = Profile.read(path)
    assert replace(read, scores={task: tuple(numbers) for task, numbers in read.scores.items()}) == profile


def test_a_name_that_is_no_unicode_does_not_stop_the_writing(tmp_path: Path) -> None:
    assert Profile.read(write_profile(tmp_path / "p.toml", inputs=("clip\udcff.mp4",))).inputs == ("clip?.mp4",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 1", "version = 2", "version 2, this program reads profiles of version 1"),
        ("version = 1", "", "no version"),
        ("[bound]", "[bound", "not TOML"),
        ("detection = 0.7", "detection = 1.7", r"thresholds\.detection is 1\.7"),
        ("detection = 0.7", "classification = 0.7", "no threshold for the task detection"),
        ("detection = 0.7", "segmentation = 0.7", "a threshold's task is 'segmentation'"),
        ("blocks = 120", "blocks = 1.5", r"bound\.blocks is 1\.5"),
        ('kind = "keep_useful"', 'kind = "hope"', "expected one of keep_useful"),
        ("2026-03-01T09:30:00+00:00", "yesterday", "made is 'yesterday'"),
        ("2026-03-01T09:30:00+00:00", "2026-03-01T09:30:00", "made is"),
        ('inputs = ["camera.mp4"]', 'inputs = "camera.mp4"', "expected a list"),
        ("quantiles = [0.0, 0.05,", "quantiles = [0.05, 0.0,", "ascending"),
        ("quantiles = [0.0,", "quantiles = [", "expected 21 numbers"),
        ("quantiles = [0.0,", 'quantiles = ["0.0",', "expected 21 numbers"),
        ('model_sha256 = "0123', 'model_sha256 = "xyz', "64 hex digits"),
    ],
)
def test_wrong_profiles_are_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write_profile(tmp_path / "profile.toml")
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=said) as caught:
        Profile.read(path)
    assert str(path) in str(caught.value)


def test_all_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / "profile.toml"
    path.write_text('version = 1\nmodel = "m"\n[bound]\nkind = "keep_useful"\n[scores.detection]\nmean = 1\n')
    with pytest.raises(ConfigError) as caught:
        Profile.read(path)
    lacking = ("model_sha256", "task", "[thresholds]", "bound.target", "[data]", "scores.detection.quantiles")
    assert all(name in str(caught.value) for name in lacking)


def test_all_that_is_out_of_range_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        make_profile(task="both", thresholds={"detection": -1}, scores={"detection": QUANTILES[:5]})
    assert all(part in str(caught.value) for part in ("task is 'both'", "thresholds.detection is -1", "21 numbers"))


def test_a_profile_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.toml"):
        Profile.read(tmp_path / "no.toml")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return brightness_model(tmp_path / "brightness.onnx")


def test_the_filter_takes_thresholds_and_task_from_the_profile(tmp_path: Path, model: Path) -> None:
    path = write_profile(tmp_path / "p.toml", model_sha256=file_sha256(model))
    stream_filter = StreamFilter(model=model, device="cpu", profile=path)
    assert stream_filter.policy.task == "detection"
    assert stream_filter.policy.thresholds == {"classification": 0.5, "detection": 0.7}
    grey = [np.full((32, 32, 3), value, np.uint8) for value in (150, 200)]
    assert [stream_filter.is_useful(stream_filter.score(picture)) for picture in grey] == [False, True]


def test_another_models_profile_is_refused(tmp_path: Path, model: Path) -> None:
    path = write_profile(tmp_path / "p.toml")
    with pytest.raises(ConfigError, match=r"made for brightness \(sha256 0123456789ab\), this model is another one"):
        StreamFilter(model=str(model), device="cpu", profile=str(path))


def test_a_stream_may_have_a_profile_of_its_own(tmp_path: Path, model: Path) -> None:
    path = write_profile(tmp_path / "p.toml", model_sha256=file_sha256(model))
    stream_filter = StreamFilter(model=str(model), device="cpu")
    rules = stream_filter.rules(LiveSettings(), profile=str(path))
    assert (rules.policy.thresholds["detection"], stream_filter.policy.thresholds["detection"]) == (0.7, 0.5)


def test_threshold_or_another_task_beside_a_profile_are_refused(tmp_path: Path, model: Path) -> None:
    with pytest.raises(ConfigError, match="a profile brings its own, give one"):
        Settings(threshold=0.5, profile="p.toml")
    path = write_profile(tmp_path / "p.toml", model_sha256=file_sha256(model))
    with pytest.raises(ConfigError, match="is for detection; leave the task out"):
        StreamFilter(model=str(model), device="cpu", profile=str(path), task="all")
