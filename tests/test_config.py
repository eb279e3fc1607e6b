"""Settings: one place, all errors at once, flag over file over default."""

from pathlib import Path

import pytest

from streamfilter.config import Settings
from streamfilter.errors import ConfigError


def test_precedence(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('threshold = 0.3\ntask = "all"\n')
    settings = Settings.load(path, threshold=0.7, task=None)
    assert (settings.threshold, settings.task, settings.batch_size) == (0.7, "all", Settings.batch_size)


def test_device_and_precision_come_from_the_file_or_the_flag(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('device = "tensorrt"\nprecision = "fp16"\n')
    settings = Settings.load(path)
    assert (settings.device, settings.precision) == ("tensorrt", "fp16")
    assert Settings.load(path, precision="fp32", device="cpu") == Settings(device="cpu")


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings(threshold=1.5, task="both", batch_size=0)
    message = str(caught.value)
    assert all(part in message for part in ("threshold is 1.5", "task is 'both'", "any, all", "batch_size is 0"))
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thresold = 0.5", "unknown settings thresold"),
        ("threshold = ", "not TOML"),
        ("threshold = true", "threshold is True"),
        ("batch_size = 2.5", "whole number"),
        ("threshold = nan", "threshold is nan"),
        ('device = "gpu"', "device is 'gpu', expected one of auto, cpu, cuda, tensorrt"),
        ('precision = "int8"', "precision is 'int8', expected one of fp32, fp16"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=expected):
        Settings.load(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the settings file .*no\.toml"):
        Settings.load(tmp_path / "no.toml")
