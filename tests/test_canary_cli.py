"""Shadow mode, canaries and feedback from the command line and from files, good and bad."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from streamfilter import audit_records
from streamfilter.errors import InputError
from tests.media import write_video
from tests.models import brightness_model
from tests.profiles import write_profile

COMMAND = [sys.executable, "-m", "streamfilter"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a clip of 20 bright, 60 dark and 20 bright frames."""
    folder = tmp_path_factory.mktemp("canary")
    brightness_model(folder / "bright.onnx")
    greys = [220] * 20 + [30] * 60 + [220] * 20
    write_video(folder / "clip.mp4", [np.full((96, 128, 3), grey, np.uint8) for grey in greys])
    return folder


def run(*arguments: object, status: int = 0, cwd: Path | None = None) -> tuple[str, str]:
    command = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=120, check=False, text=True, cwd=cwd)
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


@cache
def filtered(folder: Path, *flags: object) -> tuple[list[dict], str]:
    # The draw depends on the input's name: the same one in every run of the tests.
    stdout, stderr = run("run", "clip.mp4", "--model", "bright.onnx", "--records", "-", *flags, cwd=folder)
    return [json.loads(line) for line in stdout.splitlines()], stderr


def lines(path: Path, *objects: object) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in objects))
    return path


def test_shadow_drops_nothing_and_records_what_would_be_dropped(folder: Path) -> None:
    plain, _ = filtered(folder)
    shadow, stderr = filtered(folder, "--shadow")
    assert "100 frames read, 100 kept (shadow 60, useful 40), 0 dropped, 60 spared (low_utility 60)" in stderr
    assert all(one["keep"] for one in shadow)
    assert [one.get("would_drop", one["reason"]) for one in shadow] == [one["reason"] for one in plain]


def test_canaries_are_the_same_again_and_others_with_another_seed(folder: Path) -> None:
    first, stderr = filtered(folder, "--canary", 0.3)
    again, _ = filtered(folder, "--canary", "0.30")
    other, _ = filtered(folder, "--canary", 0.3, "--canary-seed", 1)
    drawn = [[one["index"] for one in records if one["reason"] == "canary"] for records in (first, again, other)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 5 < len(drawn[0]) < 35
    assert f"canary {len(drawn[0])}" in stderr
    assert all(one["would_drop"] == "low_utility" and one["keep"] for one in first if one["reason"] == "canary")


def test_settings_of_a_file_may_say_shadow(folder: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text("shadow = true\ncanary = 0.1\n")
    records, _ = filtered(folder, "--config", settings)
    assert {one["reason"] for one in records} == {"useful", "shadow", "canary"}


def test_the_whole_way_from_a_run_to_the_rate_of_wrongful_drops(folder: Path, tmp_path: Path) -> None:
    records, _ = filtered(folder, "--canary", 0.5)
    path = lines(tmp_path / "records.jsonl", *records)
    canaries = [one for one in records if one["reason"] == "canary"]
    answers = [{"input": one["input"], "index": one["index"], "useful": one["index"] < 30} for one in canaries]
    wrongful = sum(one["useful"] for one in answers)
    told, stderr = run("canary", path, "--feedback", lines(tmp_path / "feedback.jsonl", *answers))
    found = json.loads(told)
    assert stderr == ""
    assert (found["dropped"], found["canaries"], found["answered"]) == (60, len(canaries), len(canaries))
    assert found["wrongful"] == wrongful > 0
    assert found["wrongful_rate"] == pytest.approx(wrongful / len(canaries), abs=1e-6)
    low, high = found["interval_95"]
    assert low - 1e-6 <= 10 / 60 <= high + 1e-6
    assert found["useful_kept"] == pytest.approx(40 * 220 / 255, rel=0.05)
    lost = found["wrongful_rate"] * 60
    assert found["lost_share"] == pytest.approx(lost / (lost + found["useful_kept"]), rel=0.01)
    assert found["stream_interval_95"] is None  # four seconds are one block
    short = json.loads(run("canary", path, "--feedback", tmp_path / "feedback.jsonl", "--block-seconds", 0.2)[0])
    assert short["blocks"] > 5
    assert short["stream_interval_95"][1] >= found["interval_95"][1]


def test_answers_in_shadow_mode_leave_no_doubt(folder: Path, tmp_path: Path) -> None:
    records, _ = filtered(folder, "--shadow")
    answers = [{"input": one["input"], "index": one["index"], "useful": 20 <= one["index"] < 23} for one in records]
    feedback = lines(tmp_path / "feedback.jsonl", *answers)
    found = json.loads(run("canary", lines(tmp_path / "records.jsonl", *records), "--feedback", feedback)[0])
    assert found["interval_95"] == [0.05, 0.05]
    assert (found["useful_kept"], found["useful_kept_from"], found["lost_share"]) == (0, "feedback", 1)


def test_bad_feedback_is_counted_and_said(folder: Path, tmp_path: Path) -> None:
    records, _ = filtered(folder, "--canary", 1)
    name = records[0]["input"]
    feedback = lines(
        tmp_path / "feedback.jsonl",
        {"input": name, "index": 30, "useful": True},
        {"input": name, "index": 30, "useful": False},
        {"input": name, "index": 31, "useful": False},
        {"input": name, "index": 31, "useful": False},
        {"input": name, "index": 3000, "useful": True},
        {"input": "elsewhere.mp4", "index": 30, "useful": True},
        {"input": name, "index": 32, "useful": "yes"},
        {"input": name, "index": -1, "useful": True},
        {"input": name, "index": True, "useful": True},
        "[1, 2]",
        "",
        '{"input": "clip.mp4", "ind',
    )
    records_path = lines(tmp_path / "records.jsonl", *records[:-1], json.dumps(records[-1])[:-20])
    told, stderr = run("canary", records_path, "--feedback", feedback)
    found = json.loads(told)
    assert (found["answered"], found["wrongful"], found["records_unreadable"]) == (2, 1, 1)
    counted = {"unknown": 2, "repeated": 1, "contradicting": 1, "unreadable": 6, "ambiguous": 0}
    assert {name: found["answers"][name] for name in counted} == counted
    assert "records.jsonl: line 100 cannot be read" in stderr
    assert "feedback.jsonl: line 7 and 5 more cannot be read" in stderr
    assert "2 answers are on frames that the records do not have as passed" in stderr
    assert "1 answers contradict an earlier one" in stderr


def test_frames_of_two_runs_in_one_file_cannot_be_told_apart(folder: Path, tmp_path: Path) -> None:
    records, _ = filtered(folder, "--canary", 1)
    answers = [{"input": records[30]["input"], "index": index, "useful": True} for index in (30, 31)]
    path = lines(tmp_path / "records.jsonl", *records, *records[31:])
    told, stderr = run("canary", path, "--feedback", lines(tmp_path / "feedback.jsonl", *answers))
    assert (json.loads(told)["answered"], json.loads(told)["answers"]["ambiguous"]) == (1, 1)
    assert "split the records by run" in stderr


@pytest.mark.parametrize(
    "record",
    [
        {"input": "a", "index": 0, "pts_seconds": None, "keep": True, "reason": "nice", "utility": None},
        {"input": "a", "index": 0, "pts_seconds": "0", "keep": True, "reason": "useful", "utility": {"detection": 2}},
        {"input": "a", "index": 0, "pts_seconds": None, "keep": 1, "reason": "useful", "utility": None},
        {"input": "a", "index": 0, "pts_seconds": None, "keep": True, "reason": "useful", "utility": [0.5]},
        '{"input": "a", "index": 0, "pts_seconds": null, "keep": true, "reason": "useful", "utility": {"d": NaN}}',
        '{"input": "a", "index": 0, "pts_seconds": NaN, "keep": true, "reason": "useful", "utility": null}',
        '{"input": "a", "index": 0, "pts_seconds": 1e999, "keep": true, "reason": "useful", "utility": null}',
        f'{{"input": "a", "index": 0, "pts_seconds": {10**400}, "keep": true, "reason": "useful", "utility": null}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_record_is_left_out(tmp_path: Path, record: object) -> None:
    with pytest.raises(InputError, match="holds no record"):
        audit_records(str(lines(tmp_path / "records.jsonl", record)))


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1"])
def test_a_block_without_a_length_is_refused(tmp_path: Path, folder: Path, seconds: str) -> None:
    records = lines(tmp_path / "records.jsonl", *filtered(folder)[0])
    said = run("canary", records, "--block-seconds", seconds, status=2)[1]
    assert f"block_seconds is {float(seconds)}, expected a number from 0.1 to 86400" in said


def test_files_that_are_not_there(tmp_path: Path, folder: Path) -> None:
    assert "there is no file" in run("canary", tmp_path / "none.jsonl", status=1)[1]
    records = lines(tmp_path / "records.jsonl", *filtered(folder)[0])
    assert "there is no file" in run("canary", records, "--feedback", tmp_path / "none.jsonl", status=1)[1]
    assert "cannot read" in run("canary", tmp_path, status=1)[1]
    assert "cannot read the settings file" in run("canary", records, "--profile", tmp_path / "none.toml", status=2)[1]


def test_a_profile_brings_what_was_promised_and_the_scores_it_knows(tmp_path: Path) -> None:
    def record(index: int, score: float) -> dict[str, object]:
        dropped = {"reason": "canary", "would_drop": "low_utility"} if score < 0.7 else {"reason": "useful"}
        known = {"input": "cam", "index": index, "pts_seconds": float(index), "keep": True}
        return {**known, **dropped, "utility": {"detection": score}}

    random = np.random.default_rng(4)
    scores = [*random.random(1500), *random.random(3000) / 4]
    records = lines(tmp_path / "records.jsonl", *[record(index, round(score, 6)) for index, score in enumerate(scores)])
    answers = [{"input": "cam", "index": index, "useful": True} for index in range(0, 4500, 3)]
    feedback = lines(tmp_path / "feedback.jsonl", *answers)
    profile = write_profile(tmp_path / "profile.toml")
    found = json.loads(run("canary", records, "--feedback", feedback, "--profile", profile)[0])
    assert (found["promised_lost_share"], found["credible"]) == (0.05, False)
    assert found["drift"]["is_drifted"]
    assert found["drift"]["distances"]["detection"] > 0.5
    assert [event["kind"] for event in found["events"]] == ["bound_doubtful", "drifted"]
