"""Calibration from clips to a profile: what is sampled and judged, what is refused, what an interruption leaves."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from streamfilter import StreamFilter
from streamfilter.calibration import (
    Calibration,
    Goal,
    Interrupted,
    Judged,
    Sampling,
    calibrate,
    choose_threshold,
    judge_frames,
    tabulate_frames,
)
from streamfilter.errors import CalibrationError, ConfigError, InputError
from streamfilter.profile import Profile
from tests.live_servers import RtspServer, need_gstreamer
from tests.media import write_video
from tests.models import brightness_model

SAMPLE = Path(__file__).parent.parent / "samples" / "tour_of_troubles.mp4"
SCENE = "tests.seeing:bright_scene"


def grey(value: int) -> np.ndarray:
    return np.full((48, 64, 3), value, np.uint8)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return brightness_model(tmp_path / "brightness.onnx")


@pytest.fixture
def stream_filter(model: Path) -> StreamFilter:
    return StreamFilter(model=str(model), device="cpu", threads=1)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Ten seconds at ten frames a second that grow brighter, from a half to white."""
    return write_video(tmp_path / "clip.mp4", [grey(130 + index) for index in range(100)], fps=10)


def job(clip: Path, **changes: object) -> Calibration:
    given = {
        "inputs": [clip],
        "goal": Goal("keep_useful", 0.5),
        "consumer": SCENE,
        "kinds": ["darkness"],
        "block_seconds": 0.5,
        "sampling": Sampling(every_seconds=0.1),
    }
    return Calibration(**{**given, **changes})  # type: ignore[arg-type]


def test_a_profile_from_a_clip(tmp_path: Path, clip: Path, stream_filter: StreamFilter, model: Path) -> None:
    out = tmp_path / "profile.toml"
    done = calibrate(job(clip), stream_filter, out)
    profile = Profile.read(out)
    assert (profile.task, profile.consumer, profile.bound.blocks) == ("detection", SCENE, 20)
    assert profile.bound.useful_kept >= 0.5
    assert profile.thresholds == {"detection": done.choice.threshold}
    assert done.judged == 200
    assert done.choice.ideal_discard > 0
    assert profile.scores["detection"][0] == pytest.approx(130 / 255, abs=0.02)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == []
    applied = StreamFilter(model=str(model), device="cpu", profile=str(out))
    assert applied.policy.thresholds["detection"] == done.choice.threshold


def test_the_threshold_parts_what_the_consumer_can_use(clip: Path, stream_filter: StreamFilter) -> None:
    """The consumer needs a mean over 60; the utility is the mean over 255: 0.235 parts them exactly."""
    found = judge_frames(job(clip), stream_filter).judged
    degraded = [one for one in found if one.distortion != "pristine"]
    assert {one.useful for one in degraded} == {True, False}
    assert all(one.useful == (one.utility["detection"] > 60 / 255) for one in degraded)


def test_the_same_twice(clip: Path, stream_filter: StreamFilter) -> None:
    few = job(clip, sampling=Sampling(every_seconds=1.0))
    first, second = (judge_frames(few, stream_filter).judged for _ in range(2))
    assert first == second


def test_frames_are_sampled_by_the_clock(clip: Path, stream_filter: StreamFilter) -> None:
    every_second = judge_frames(job(clip, sampling=Sampling(every_seconds=1.0), draws=0), stream_filter).judged
    assert [one.index for one in every_second] == list(range(0, 100, 10))
    about = judge_frames(job(clip, sampling=Sampling(limit=5), draws=0), stream_filter).judged
    assert [one.index for one in about] == [0, 25, 50, 75]


def test_no_input_is_looked_at_beyond_the_limit(
    clip: Path, stream_filter: StreamFilter, caplog: pytest.LogCaptureFixture
) -> None:
    sampling = Sampling(every_seconds=0.1, limit=12)
    assert len(judge_frames(job(clip, sampling=sampling, draws=0), stream_filter).judged) == 12
    assert "the limit of 12 frames is reached" in caplog.text


def test_whole_inputs_are_blocks_where_they_are_enough(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    wanted = job(clip, inputs=[str(clip)] * 20, block_seconds=None, sampling=Sampling(every_seconds=5), draws=0)
    assert judge_frames(wanted, stream_filter).block_seconds == 0


@pytest.mark.parametrize("pattern", ["", "*.jpg"], ids=["a folder", "a list"])
def test_the_pictures_of_an_input_are_one_block(tmp_path: Path, stream_filter: StreamFilter, pattern: str) -> None:
    for number in range(8):
        folder = tmp_path / f"shots{number % 2}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(grey(130 + 10 * number)).save(folder / f"{number}.jpg")
    inputs = [str(tmp_path / name / pattern) for name in ("shots0", "shots1")]
    wanted = job(tmp_path, inputs=inputs, goal=Goal("keep_rate", 0.5))
    blocks = 2 if pattern == "" else 1
    notes = tmp_path / "notes.jsonl"
    for found in (judge_frames(wanted, stream_filter, notes), judge_frames(wanted, stream_filter, notes)):
        assert len(found.judged) == 16
        assert tabulate_frames(found.judged, "detection", found.block_seconds).blocks == blocks
    with pytest.raises(
        CalibrationError, match=rf"{blocks} blocks \(each input is one\) cannot carry a promise of 0\.95"
    ):
        judge_frames(job(tmp_path, inputs=inputs, goal=Goal("keep_useful", 0.95)), stream_filter, notes)


def test_a_classifier_and_its_confident_errors(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    wanted = job(clip, consumer="tests.seeing:light", goal=Goal("confident_errors", 0.5), draws=3)
    done = calibrate(wanted, stream_filter, str(tmp_path / "p.toml"))
    assert done.profile.task == "classification"
    assert done.choice.error_frames > 20
    assert done.choice.errors_removed >= 0.5


def test_a_keep_rate_needs_no_consumer_and_promises_nothing(
    tmp_path: Path, clip: Path, stream_filter: StreamFilter
) -> None:
    wanted = job(clip, consumer=None, goal=Goal("keep_rate", 0.3), task="detection")
    done = calibrate(wanted, stream_filter, str(tmp_path / "p.toml"))
    assert 1 - done.choice.discard == pytest.approx(0.3, abs=0.011)
    assert (done.profile.bound.confidence, done.profile.consumer) == (0, "")


def test_outputs_of_a_consumer_in_a_file(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    outputs = tmp_path / "outputs.jsonl"
    box = [{"label": "scene", "score": 0.9, "box": [0, 0, 64, 48]}]
    said = []
    for index in range(100):
        said.append({"input": "clip.mp4", "index": index, "detections": box})
        said.append({"input": "clip.mp4", "index": index, "distortion": "darkness=4", "detections": box[index % 2 :]})
    said.append({"input": "clip.mp4", "index": 7, "distortion": "sepia=4", "detections": []})
    outputs.write_text("".join(json.dumps(one) + "\n" for one in said))
    done = calibrate(job(clip, consumer=str(outputs)), stream_filter, tmp_path / "p.toml")
    assert (done.failures, done.judged) == (1, 198)
    assert done.choice.useful_frames == 99 + 50
    assert done.profile.consumer == "outputs.jsonl"


def test_flags_alone_do_not_tell_the_task(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    outputs = tmp_path / "flags.jsonl"
    flags = [{"input": str(clip), "index": index, "useful": index > 30} for index in range(100)]
    outputs.write_text("".join(json.dumps(one) + "\n" for one in flags))
    with pytest.raises(ConfigError, match="give --task"):
        calibrate(job(clip, consumer=str(outputs)), stream_filter)
    done = calibrate(job(clip, consumer=str(outputs), task="classification"), stream_filter)
    assert done.choice.ideal_discard == pytest.approx(0.31)


def test_a_consumer_that_always_fails_ends_it(clip: Path, stream_filter: StreamFilter) -> None:
    for name, said in (("raises", "raised ZeroDivisionError"), ("nonsense", "returned 'a cat'")):
        with pytest.raises(CalibrationError, match=rf"tests\.seeing:{name} failed on 20 of 20 frames.*{said}"):
            calibrate(job(clip, consumer=f"tests.seeing:{name}"), stream_filter)


def test_too_few_blocks_are_told_before_a_frame_is_judged(clip: Path, stream_filter: StreamFilter) -> None:
    with pytest.raises(CalibrationError, match=r"21 blocks of 0\.5 s cannot carry .* 0\.99 .*at least 293 more"):
        calibrate(job(clip, goal=Goal("keep_useful", 0.99), consumer="tests.seeing:raises"), stream_filter)


def test_what_was_judged_serves_for_another_promise(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    out = tmp_path / "p.toml"
    with pytest.raises(CalibrationError, match=r"more like them are needed.*kept in .*p\.toml\.partial\.jsonl"):
        calibrate(job(clip, goal=Goal("keep_useful", 0.85)), stream_filter, out)
    assert not out.exists()
    calls: list[int] = []
    calibrate(job(clip), stream_filter, out, progress=lambda done, failed, name: calls.append(done))
    assert out.exists()
    assert not list(tmp_path.glob("*.partial.jsonl"))


def table(rows: list[tuple[int, float, bool | None]]) -> list[Judged]:
    return [
        Judged("a", i, float(block), "pristine", {"detection": u}, useful) for i, (block, u, useful) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("useful", "said"),
    [(False, "0 of 40 judged frames are useful"), (True, "all 40 judged frames are useful"), (None, "0 of 0 judged")],
)
def test_nothing_to_choose_from(useful: bool | None, said: str) -> None:
    rows = [(block, block / 40, useful) for block in range(40)]
    with pytest.raises(CalibrationError, match=said):
        choose_threshold(tabulate_frames(table(rows), "detection", 1), Goal("keep_useful", 0.5))


def test_too_few_blocks_say_how_many_more() -> None:
    rows = [(block, 0.5 + block / 100, True) for block in range(20)] + [(0, 0.1, False)]
    with pytest.raises(CalibrationError, match=r"20 blocks are too few to promise 0\.9 .*at least \d+ more") as caught:
        choose_threshold(tabulate_frames(table(rows), "detection", 1), Goal("keep_useful", 0.9))
    more = int(str(caught.value).split("at least ")[1].split()[0])
    enough = [(block, 0.5 + block / 1000, True) for block in range(20 + more)] + [(0, 0.1, False)]
    chosen = choose_threshold(tabulate_frames(table(enough), "detection", 1), Goal("keep_useful", 0.9))
    assert (chosen.threshold, chosen.useful_kept) == (0.5, 1.0)


def test_no_confident_error_to_remove() -> None:
    rows = [(block, block / 40, block > 20) for block in range(40)]
    with pytest.raises(CalibrationError, match="makes no confident error"):
        choose_threshold(tabulate_frames(table(rows), "detection", 1), Goal("confident_errors", 0.3))


def test_wrong_settings_are_named_at_once(clip: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown distortions sepia.*draws is -1.*task is 'both'"):
        job(clip, kinds=["sepia"], draws=-1, task="both")
    with pytest.raises(ConfigError, match=r"draws is 1\.5.*consumer is 3.*block_seconds is '2'"):
        job(clip, draws=1.5, block_seconds="2", consumer=3)
    with pytest.raises(ConfigError, match="no consumer"):
        job(clip, consumer=None)
    with pytest.raises(ConfigError, match=r"target is 1.*confidence is 0"):
        Goal("keep_useful", 1, 0)
    with pytest.raises(ConfigError, match=r"limit is 0.*every_seconds is -1"):
        Sampling(every_seconds=-1, limit=0)


def test_a_live_stream_needs_a_length(stream_filter: StreamFilter, clip: Path) -> None:
    with pytest.raises(ConfigError, match="is live: say for how long"):
        calibrate(job(clip, inputs=["rtsp://127.0.0.1:9/x"]), stream_filter)


def test_a_live_stream_that_never_comes_ends_all_the_same(stream_filter: StreamFilter, clip: Path) -> None:
    wanted = job(
        clip, inputs=["rtsp://127.0.0.1:9/x"], sampling=Sampling(live_seconds=0.5), goal=Goal("keep_rate", 0.5)
    )
    with pytest.raises(CalibrationError, match="no frame was judged"):
        calibrate(wanted, stream_filter)


def test_an_input_that_is_missing(stream_filter: StreamFilter, clip: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        calibrate(job(clip, inputs=[str(clip), "nowhere.mp4"]), stream_filter)


def test_an_interrupted_calibration_goes_on_where_it_was(
    tmp_path: Path, clip: Path, stream_filter: StreamFilter
) -> None:
    out, stop = tmp_path / "p.toml", threading.Event()
    whole = judge_frames(job(clip), stream_filter).judged

    def after_half(done: int, failed: int, name: str) -> None:
        if done >= 100:
            stop.set()

    with pytest.raises(Interrupted, match=r"100 versions .* kept in .*p\.toml\.partial\.jsonl"):
        calibrate(job(clip), stream_filter, out, stop, after_half)
    notes = tmp_path / "p.toml.partial.jsonl"
    notes.write_bytes(notes.read_bytes()[:-15])
    with pytest.raises(ConfigError, match="holds what another calibration judged"):
        calibrate(job(clip, draws=2), stream_filter, out)
    marked = notes.read_text().replace('"useful": false', '"useful": true')
    notes.write_text(marked)
    resumed = judge_frames(job(clip), stream_filter, notes).judged
    assert len(resumed) == len(whole)
    assert sum(one.useful is False for one in resumed) == sum(one.useful is False for one in whole[98:])
    calibrate(job(clip), stream_filter, out)
    assert out.exists()
    assert not notes.exists()


@pytest.mark.parametrize(
    "line",
    ["[[]]", "[3]", '["a"]', "{}", '{"input": 1}', "7", "[" * 100_000, '[{"input": "clip", "index": 0}]', "[{}]"],
)
def test_a_journal_with_lines_of_another_shape_is_gone_on_with(
    tmp_path: Path, clip: Path, stream_filter: StreamFilter, line: str
) -> None:
    notes, few = tmp_path / "notes.jsonl", job(clip, sampling=Sampling(every_seconds=5.0))
    whole = judge_frames(few, stream_filter, notes).judged
    head, first, second = notes.read_text().splitlines()
    notes.write_text("\n".join([head, line, first, second.replace('"utility": {', '"utility": {"other": 2, ')]))
    assert judge_frames(few, stream_filter, notes).judged == whole
    assert notes.read_text().splitlines() == [head, first, second]


def test_a_journal_of_another_shape_is_refused(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    notes = tmp_path / "notes.jsonl"
    notes.write_text("[" * 100_000 + "\n")
    with pytest.raises(ConfigError, match="holds what another calibration judged"):
        judge_frames(job(clip), stream_filter, notes)


def test_a_full_disk_ends_a_calibration_in_one_line(tmp_path: Path, model: Path) -> None:
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "from streamfilter.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    words = ["calibrate", SAMPLE, "--keep-rate", "0.5", "--task", "detection", "--model", model, "--out"]
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words), str(tmp_path / "p.toml")], text=True,
        capture_output=True, timeout=120, check=False, cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == 1
    assert "larger than the file size limit" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


COMMAND = [sys.executable, "-m", "streamfilter"]
QUICK = ["--every", "1", "--distortions", "darkness,overexposure", "--block-seconds", "1", "--threads", "1"]


def run(*arguments: object, status: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


def test_the_command_line_from_a_clip_to_a_filtered_one(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "p.toml"
    stdout, stderr = run(
        "calibrate", SAMPLE, "--consumer", SCENE, "--keep-useful", 0.8, "--model", model, "--out", out, *QUICK
    )
    said = json.loads(stdout)
    assert said["useful_kept"] >= 0.8
    assert said["promise"] == {"kind": "keep_useful", "target": 0.8, "confidence": 0.95}
    assert "keeps at least 80.0% of the useful frames with 95% confidence" in stderr
    profile = Profile.read(out)
    assert profile.thresholds["detection"] == said["threshold"]
    assert profile.command.startswith("streamfilter calibrate")
    records = tmp_path / "records.jsonl"
    run("run", SAMPLE, "--model", model, "--profile", out, "--max-gap", 0, "--records", records)
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    assert all(line["keep"] == (line["utility"]["detection"] >= round(said["threshold"], 6)) for line in lines)
    _, refused = run("run", SAMPLE, "--profile", out, "--records", records, status=2)
    assert "the profile was made for brightness" in refused


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--keep-useful", "0.9", "--keep-rate", "0.5", "--consumer", SCENE], 2, "2 were given"),
        (["--consumer", SCENE], 2, "give one of --keep-useful, --remove-errors, --keep-rate"),
        (["--keep-useful", "0.9"], 2, "no consumer"),
        (["--keep-rate", "0.5"], 2, "no task, and there is no consumer whose task it could be: give --task, classif"),
        (["--keep-useful", "99", "--consumer", SCENE], 2, "target is 99"),
        (["--keep-useful", "0.9", "--consumer", "nowhere.onnx"], 1, "does not exist"),
        (["--keep-useful", "0.9", "--consumer", "nothing:at_all"], 2, "ModuleNotFoundError"),
        (["--keep-useful", "0.9", "--consumer", SCENE, "--distortions", "sepia"], 2, "unknown distortions sepia"),
    ],
)
def test_wrong_usage(tmp_path: Path, model: Path, arguments: list[str], status: int, said: str) -> None:
    _, stderr = run("calibrate", SAMPLE, "--model", model, "--out", tmp_path / "p.toml", *arguments, status=status)
    assert said in stderr
    assert "Traceback" not in stderr


def test_an_interrupted_command_says_where_it_left_off(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "p.toml"
    command = [
        *COMMAND,
        "calibrate",
        SAMPLE,
        "--consumer",
        SCENE,
        "--keep-useful",
        "0.8",
        "--model",
        model,
        "--out",
        out,
    ]
    process = subprocess.Popen(
        [*map(str, command), "--every", "0.04"], stderr=subprocess.PIPE, cwd=Path(__file__).parent.parent
    )
    notes = tmp_path / "p.toml.partial.jsonl"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (notes.is_file() and notes.read_bytes().count(b"\n") > 5):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr.decode()
    assert f"kept in {notes}, the same command goes on from there" in stderr.decode()
    assert not out.exists()
    assert notes.read_bytes().count(b"\n") > 5


def test_a_live_stream_is_watched_for_as_long_as_said(tmp_path: Path, clip: Path, stream_filter: StreamFilter) -> None:
    need_gstreamer()
    with RtspServer("--pattern", "white", "--gop", "10") as server:
        soon = Sampling(every_seconds=0.1, live_seconds=6)
        wanted = job(clip, inputs=[server.url], sampling=soon, goal=Goal("keep_rate", 0.5), draws=0)
        notes = tmp_path / "notes.jsonl"
        first = judge_frames(wanted, stream_filter, notes).judged
        again = judge_frames(wanted, stream_filter, notes).judged
    assert first
    assert all(one.useful is True for one in first)
    assert abs(time.time() - (first[0].pts_seconds or 0)) < 120
    assert list(again[: len(first)]) == list(first)
    assert len(again) > len(first)
