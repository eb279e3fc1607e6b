"""The throughput benchmark in small: that its sides do what they say. No time is asserted."""

import json
import os
import subprocess
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import av
import onnxruntime
import pytest
from click.testing import CliRunner

from benchmarks import agree, models
from benchmarks.outcome import Outcome
from benchmarks.throughput import main
from benchmarks.throughput_cases import cases, decoders, sides
from benchmarks.throughput_cases.clips import CAMERA, ClipPlan, make_clip, partly_useless, repeated, views
from benchmarks.throughput_cases.figure import draw_breakeven
from streamfilter import Decision, StreamFilter
from streamfilter.errors import DeviceError
from streamfilter.sources import live

TINY = ClipPlan("tiny", "libx264", (320, 180), 1, CAMERA)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(TINY, 1, tmp_path_factory.mktemp("clips"))


def bench(folder: Path, clip: Path) -> cases.Bench:
    return cases.Bench(folder, Path("no kit"), 0.2, 1, "cpu", (clip,), 1.0)


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_clips_are_made_once_and_whole(clip: Path) -> None:
    before = clip.stat().st_mtime_ns
    assert make_clip(TINY, 1, clip.parent) == clip
    assert clip.stat().st_mtime_ns == before
    assert frames_of(clip) == 25
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]


def test_views_move_and_repeat(clip: Path) -> None:
    one, other = list(views((320, 180), 2)), list(views((320, 180), 2))
    assert (one[0] == other[0]).all()
    assert (one[0] != one[1]).any()


def test_a_clip_repeated_has_growing_time_stamps(clip: Path, tmp_path: Path) -> None:
    longer = repeated(clip, 3, tmp_path)
    with av.open(str(longer)) as container:
        times = [frame.pts for frame in container.decode(video=0)]
    assert len(times) == 75
    assert times == sorted(set(times))


def test_the_stated_share_of_a_clip_is_useless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.throughput_cases import clips

    monkeypatch.setitem(clips.PLANS, "720p-h264", TINY)
    monkeypatch.setattr(clips, "PARTLY_SECONDS", 2)
    path = partly_useless(0.2, tmp_path)
    with av.open(str(path)) as container:
        detail = [float(frame.to_ndarray(format="gray").std()) for frame in container.decode(video=0)]
    assert sum(one < 0.8 * max(detail) for one in detail) == 10


def test_every_side_goes_through_a_clip(clip: Path, tmp_path: Path) -> None:
    rows = cases.clips(bench(tmp_path, clip)).rows
    names = [row["side"] for row in rows]
    assert {"decode only", "run utility-nano", "run utility-nano, reuse", "BRISQUE", "cv2 + torch ResNet-18"} <= set(
        names
    )
    assert all(row["frames_per_second"] > 0 for row in rows)


def test_memory_is_that_of_a_process_of_its_own(clip: Path, tmp_path: Path) -> None:
    rows = cases.memory(bench(tmp_path, clip)).rows
    assert [row["frames"] for row in rows] == [25, 250]
    assert all(50 < row["peak_mb"] < 1000 for row in rows)


def test_latency_and_streams(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(row["frames"] == 25 for row in cases.latency(bench(tmp_path, clip)).rows)
    monkeypatch.setitem(cases.PLANS, "720p-h264", TINY)
    rows = cases.streams(bench(tmp_path, clip)).rows
    assert [row["streams"] for row in rows] == [1, 2, 4, 8, 16]


def test_live_streams_are_decoded_in_software_and_by_name(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cases.PLANS, "720p-h264", TINY)
    rows = cases.decoders(replace(bench(tmp_path, clip), decoder="no_such_decoder", counts=(1, 2))).rows
    assert [(row["decoder"], row["streams"]) for row in rows] == [
        ("software", 1), ("software", 2), ("no_such_decoder", 1)
    ]  # fmt: skip
    assert all(row["frames_per_second"] > 0 and row["failure"] == "" for row in rows[:2])
    assert rows[2]["frames_per_second"] is None
    assert "no decoder 'no_such_decoder'" in rows[2]["failure"]


def test_frames_that_cannot_be_decoded_are_no_speed(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cases.PLANS, "720p-h264", TINY)
    monkeypatch.setattr(decoders, "START_SECONDS", 1.0)
    monkeypatch.setattr(live.LiveSource, "_frame", lambda self, *_: self._unreadable("broken"))
    (row,) = cases.decoders(replace(bench(tmp_path, clip), counts=(1,))).rows
    assert row == {
        "decoder": "software", "streams": 1, "frames_per_second": None, "failure": "not all streams ran within 1 s"
    }  # fmt: skip


def test_another_precision_is_compared_with_float32(clip: Path) -> None:
    half = agree.compare((clip,), "cpu", "fp16", 3)
    assert half.figures["frames"] == 9
    assert 0 < half.figures["apart"] <= 0.01


def test_models_are_measured_in_each_batch_size(tmp_path: Path) -> None:
    out = tmp_path / "m.json"
    args = ["utility-nano", "--rounds", "1", "--batch", "1", "--batch", "3", "--resnet18-224", "--out", str(out)]
    result = CliRunner().invoke(models.main, args, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())["models"]
    assert [(row["model"], row["batch"]) for row in rows] == [
        ("utility-nano", 1), ("resnet18-224", 1), ("utility-nano", 3), ("resnet18-224", 3)
    ]  # fmt: skip
    assert all(row["per_second"] > 0 for row in rows)


def test_what_was_measured_before_a_failure_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, original = tmp_path / "m.json", models.seconds_a_batch

    def seconds(scorer: models.Scorer, batch: int) -> float:
        if batch > 1:
            raise DeviceError("out of memory")
        return original(scorer, batch)

    monkeypatch.setattr(models, "seconds_a_batch", seconds)
    args = ["utility-nano", "--rounds", "1", "--batch", "1", "--batch", "2", "--out", str(out)]
    assert CliRunner().invoke(models.main, args).exit_code == 1
    assert [row["batch"] for row in json.loads(out.read_text())["models"]] == [1]


def test_versions_are_told_whatever_the_package_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert cases._versions()["onnxruntime"] == onnxruntime.__version__


def test_a_device_that_is_not_there_is_one_line() -> None:
    if "TensorrtExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has TensorRT")
    result = CliRunner().invoke(models.main, ["utility-nano", "--device", "tensorrt"])
    assert result.exit_code == 1
    assert "no TensorRT here" in result.output.splitlines()[-1]


def test_reuse_is_compared_with_scoring_every_frame(clip: Path, tmp_path: Path) -> None:
    outcome = cases.reuse(bench(tmp_path, clip))
    assert {row["model"] for row in outcome.rows} == {"utility-nano", "utility-lite0"}
    assert all(row["frames"] == 25 and row["reused"] + row["checked"] < 25 for row in outcome.rows)
    assert not any(row["checked"] for row in outcome.rows if row["error_budget"] == 1)
    assert "utility-nano, 3 levels, budget 0.005: reused %" in outcome.figures


def test_the_break_even_curve_is_drawn(tmp_path: Path) -> None:
    rows = [{"useless_percent": share, "ratio": 1 + share / 50} for share in (0, 5, 50)]
    draw_breakeven(Outcome("", {"detector": "x"}, rows), tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_pacing_ends_when_the_time_is_up() -> None:
    def forever():  # type: ignore[no-untyped-def]
        while True:
            yield

    assert sides.paced(forever(), 0.01) > 0


def test_the_cpu_agrees_with_itself(clip: Path, tmp_path: Path) -> None:
    same = agree.compare((clip,), "cpu")
    assert same.figures["agrees"] is True
    assert same.figures["apart"] < 1e-4


def test_a_device_that_decides_otherwise_is_told(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = agree._decisions
    answers = iter([False, True] * 3)

    def flipped(stream_filter: StreamFilter, path: Path, most: int) -> list[Decision]:
        found = original(stream_filter, path, most)
        return [replace(one, keep=not one.keep) for one in found] if next(answers) else found

    monkeypatch.setattr(agree, "_decisions", flipped)
    assert agree.compare((clip,), "cpu").figures["agrees"] is False


def test_unknown_cases_are_named() -> None:
    result = CliRunner().invoke(main, ["speed"])
    assert result.exit_code == 2
    assert "no case speed; there are clips, reuse" in result.output


def test_a_case_is_written_as_json_and_as_a_table(clip: Path, tmp_path: Path) -> None:
    args = ["memory", "--quick", "--clip", str(clip), "--folder", str(tmp_path), "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(main, args, catch_exceptions=False).exit_code == 0
    found = json.loads((tmp_path / "out" / "throughput-memory.json").read_text())
    assert found["case"] == "memory"
    assert "# Throughput: memory" in (tmp_path / "out" / "throughput-memory.md").read_text()


def test_the_gpu_of_the_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert models.machine() == models.processor()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 580.1'\n")
    tool.chmod(0o755)
    assert models.machine() == f"{models.processor()}, NVIDIA L4 with driver 580.1"
    tool.write_text("#!/bin/sh\necho 'no devices were found'\nexit 6\n")
    assert models.machine() == models.processor()


GPU_SCRIPT = Path("benchmarks/gpu.sh").absolute()
NOT_AGREEING = """#!/bin/sh
echo "$PYTHONPATH|$*" >> "$CALLS"
case "$*" in *{failing}*) exit 1 ;; esac
"""


def gpu_script(tmp_path: Path, failing: str) -> tuple[int, str, list[str]]:
    """Exit status, messages and what was run, with a program in place of Python that fails where this is asked for."""
    python, calls = tmp_path / "venv" / "bin" / "python", tmp_path / "calls"
    python.parent.mkdir(parents=True)
    python.write_text(NOT_AGREEING.format(failing=failing))
    python.chmod(0o755)
    own = {"VENV": str(tmp_path / "venv"), "CALLS": str(calls), "PYTHONPATH": "/of/the/user", "DEVICE": "cuda"}
    command = ["sh", str(GPU_SCRIPT), str(tmp_path / "out")]
    done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr, calls.read_text().splitlines()


def test_the_script_for_a_gpu_measures_everything_there_is(tmp_path: Path) -> None:
    status, _, calls = gpu_script(tmp_path, "nothing")
    assert status == 0
    assert [line.split()[1] + " " + line.split()[2] for line in calls] == [
        "benchmarks.agree --device", "benchmarks.agree --device",
        "benchmarks.models --resnet18-224", "benchmarks.models --resnet18-224",
        *(f"benchmarks.throughput {case}" for case in ("decoders", "streams", "latency", "clips")),
        "benchmarks.agree --device", "benchmarks.models --resnet18-224",
    ]  # fmt: skip
    assert {line.partition("|")[0] for line in calls} == {f"{GPU_SCRIPT.parents[1]}:/of/the/user"}


def test_the_script_for_a_gpu_stops_only_when_float32_disagrees(tmp_path: Path) -> None:
    status, told, calls = gpu_script(tmp_path / "one", "'benchmarks.agree --device cuda --out'")
    assert (status, len(calls)) == (1, 1)
    assert told.splitlines()[-1] == "stopped; agreement in float32: exit status 1"
    status, told, calls = gpu_script(tmp_path / "other", "fp16*--out")
    assert (status, len(calls)) == (1, 10)
    assert "; agreement in float16: exit status 1; models in fp16: exit status 1" in told.splitlines()[-1]
    assert "agreement of TensorRT in float16: exit status 1" in told.splitlines()[-1]
