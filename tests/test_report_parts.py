"""The report's pure parts, by numbers: what belongs together, gaps, samples, thinning, discard curves."""

import base64
import io

import numpy as np
import pytest

from streamfilter.errors import InputError
from streamfilter.report.clips import Clock, split
from streamfilter.report.columns import ColumnsBuilder, shown
from streamfilter.report.consumer import discard_figures, read_boxes, read_verdicts
from streamfilter.report.discard import errors_left, ideal
from streamfilter.report.records import MAX_LINE_BYTES, json_lines, looks_like_records, read_records
from streamfilter.report.rule import Rule
from streamfilter.report.sampling import choose, shares
from streamfilter.report.tally import find_gaps, runs, taint_windows, tally
from streamfilter.report.timeline import UNSCORED, intervals, sixteen_bits, thinned, timeline
from tests.report_data import clip, columns, record, scored, write_lines

RULE = Rule({"detection": 0.5})


@pytest.mark.parametrize(
    "changes",
    [
        {"input": 3},
        {"index": -1},
        {"index": True},
        {"index": 2**60},
        {"keep": 1},
        {"reason": None},
        {"pts_seconds": "0"},
        {"pts_seconds": float("nan")},
        {"pts_seconds": 1e300},
        {"utility": {"detection": 1.5}},
        {"utility": {"detection": float("nan")}},
        {"utility": {"detection": True}},
        {"utility": [0.5]},
        {"cause": 4},
        {"would_drop": []},
    ],
)
def test_what_is_no_record_is_refused(changes):
    builder = ColumnsBuilder()
    assert not builder.add(record(0, **changes))
    assert builder.add(record(0))
    assert len(builder.build()) == 1


def test_a_task_that_comes_later_is_unknown_before():
    found = columns([record(0), record(1, utility={"classification": 0.25, "detection": 0.5}), record(2, None)])
    np.testing.assert_array_equal(found.utility["classification"], [np.nan, 0.25, np.nan])
    np.testing.assert_allclose(found.utility["detection"], [0.9, 0.5, np.nan])


def test_names_are_shown_without_passwords_and_unprintable_letters():
    assert shown("rtsp://user:secret@cam/a?token=abc") == "rtsp://***@cam/a?token=***"
    assert shown("clip\udcff.mp4") == "clip?.mp4"
    assert len(shown("x" * 5000)) == 301


def test_lines_that_end_and_lines_that_do_not():
    text = b'{"a": 1}\n\n  \nnot json\n' + b"x" * (MAX_LINE_BYTES + 5) + b'\n{"b": 2}\n{"c": '
    assert list(json_lines(io.BytesIO(text))) == [
        ({"a": 1}, True), (None, True), (None, True), ({"b": 2}, True), (None, False),
    ]  # fmt: skip


def test_a_damaged_log_gives_what_can_be_read(tmp_path):
    path = write_lines(tmp_path / "log.jsonl", [record(0), {"other": 1}, record(1)])
    path.write_bytes(path.read_bytes() + b'\0\0\n{"input": "clip.mp4", "ind')
    builder = ColumnsBuilder()
    problems = read_records(str(path), builder)
    assert len(builder) == 2
    assert [problem.is_failure for problem in problems] == [True, False]
    assert "2 lines are no records" in problems[0].text
    assert "cut short in its last line; the 2 frames before it were read" in problems[1].text


@pytest.mark.parametrize(("content", "words"), [(b"", "it is empty"), (b"hello\n", "no line"), (b'{"a', "no line")])
def test_a_file_without_records_is_refused(tmp_path, content, words):
    path = tmp_path / "log.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_records(str(path), ColumnsBuilder())


def test_records_are_told_from_clips(tmp_path):
    (tmp_path / "a.txt").write_text('  {"input": 1}\n')
    (tmp_path / "b.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    names = ("a.txt", "b.mp4", "gone.jsonl", "gone.mp4")
    assert [looks_like_records(str(tmp_path / name)) for name in names] == [True, False, True, False]
    assert looks_like_records("-")


def test_inputs_and_second_readings_are_clips_of_their_own():
    again = [record(index) for index in range(3)] + [record(index) for index in range(2)]
    other = [record(index, input="sub/clip.mp4") for index in range(2)]
    clips = split(columns(again + other))
    assert [(one.name, len(one)) for one in clips] == [("clip.mp4", 3), ("clip.mp4 (2)", 2), ("sub/clip.mp4", 2)]
    assert all(one.clock is Clock.MEDIA for one in clips)


def test_pictures_of_a_folder_are_one_clip_without_a_clock():
    pictures = [record(i, input=f"in/{i}.jpg", pts_seconds=None) for i in range(4)]
    (found,) = split(columns(pictures))
    assert (found.name, found.clock, list(found.seconds)) == ("in", Clock.ORDER, [0, 1, 2, 3])


def test_runs_of_a_live_stream_are_one_clip_in_order_of_time():
    first = [record(i, input="rtsp://cam", time=1000.0 + i) for i in (0, 2, 1)]
    second = [record(i, input="rtsp://cam", time=5000.0 + i) for i in range(2)]
    (found,) = split(columns(first + second))
    assert (found.clock, found.began) == (Clock.WALL, 1000.0)
    assert list(found.seconds) == [0, 1, 2, 4000, 4001]


def test_times_never_fall_and_holes_take_the_time_before():
    times = [None, 1.0, 2.0, None, 1.5, 3.0]
    found = clip(record(i, pts_seconds=time) for i, time in enumerate(times))
    assert list(found.seconds) == [1.0, 1.0, 2.0, 2.0, 2.0, 3.0]


def test_a_clock_that_starts_anew_goes_on_behind_the_last_time():
    times = [100.0, 100.5, 101.0, 0.0, 0.5, 0.25, 1.0, -3.0, -2.5]
    found = clip(record(i, pts_seconds=time) for i, time in enumerate(times))
    assert list(found.seconds) == [100.0, 100.5, 101.0, 101.5, 102.0, 102.0, 102.5, 103.0, 103.5]


def test_counts_add_up():
    fields = [record(0), record(1, 0.1, cause="blur"), record(2, 0.2), record(3, None, keep=False, reason="stale")]
    fields.append(record(4, 0.1, keep=True, reason="canary", would_drop="low_utility", cause="blur"))
    found = tally(columns(fields))
    assert (found.frames, found.kept, found.dropped) == (5, 2, 3)
    assert found.kept_by_reason == {"useful": 1, "canary": 1}
    assert found.dropped_by_reason == {"low_utility": 2, "stale": 1}
    assert (found.by_cause, found.spared) == ({"blur": 2}, {"low_utility": 1})
    assert found.means["detection"] == pytest.approx((0.9 + 0.1 + 0.2 + 0.1) / 4)


def test_gaps_reach_from_kept_frame_to_kept_frame():
    longest, *others = find_gaps(scored([0.1, 0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.2]))
    assert (longest.start, longest.end, longest.frames) == (0.04, 0.2, 3)
    assert sorted((gap.start, gap.end, gap.frames) for gap in others) == [(0.0, 0.04, 1), (0.24, 0.28, 1)]


def test_a_pause_of_the_recording_is_no_gap():
    fields = [record(i, 0.9 if i < 3 else 0.1, time=1000.0 + i + (600 if i > 2 else 0)) for i in range(6)]
    (gap,) = find_gaps(clip(fields))
    assert (gap.start, gap.end) == (603.0, 605.0)


def test_no_gap_where_everything_is_kept():
    assert find_gaps(scored([0.9] * 5)) == []
    assert runs(np.array([True, True])).tolist() == [[0, 2]]


def test_taint_windows_last_as_long_as_their_frames():
    fields = [record(i) for i in range(10)]
    for index in (3, 4):
        fields[index] |= {"keep": False, "reason": "tainted"}
    fields[5] |= {"reason": "released"}
    np.testing.assert_allclose(taint_windows(clip(fields)), [[3 / 25, 6 / 25]])


def test_margins_follow_the_task_rule():
    found = columns([record(0, utility={"classification": 0.6, "detection": 0.2}), record(1, None)])
    thresholds = {"classification": 0.5, "detection": 0.5}
    np.testing.assert_allclose(Rule(thresholds, "any").margins(found), [0.1, np.nan], atol=1e-6)
    np.testing.assert_allclose(Rule(thresholds, "all").margins(found), [-0.3, np.nan], atol=1e-6)
    np.testing.assert_allclose(Rule(thresholds, "classification").margins(found), [0.1, np.nan], atol=1e-6)


def test_decisions_that_the_threshold_does_not_explain_are_counted():
    found = columns([record(0, 0.6), record(1, 0.4), record(2, 0.55), record(3, 0.9)])
    assert Rule({"detection": 0.5}).unexplained(found) == 0
    assert Rule({"detection": 0.58}).unexplained(found) == 1
    assert Rule({"detection": 0.3}).unexplained(found) == 1


def test_pictures_are_of_all_kinds_and_keep_their_distance():
    utilities = [0.95] * 500 + [0.1] * 200 + [0.95] * 100 + [0.49, 0.51] * 50 + [0.95] * 100
    picks = choose(scored(utilities), RULE, 20)
    assert 10 <= len(picks) <= 20
    assert {pick.why for pick in picks} == {
        "spread over time", "among the lowest scores", "just above the threshold", "just below the threshold",
    }  # fmt: skip
    assert all(utilities[pick.row] < 0.66 for pick in picks)
    for is_kept in (True, False):
        assert min(np.diff([pick.row for pick in picks if (utilities[pick.row] >= 0.5) == is_kept])) >= 25


def test_a_rare_reason_gets_its_picture():
    fields = [record(i, 0.1) for i in range(1000)]
    fields[700] |= {"reason": "tainted"}
    fields[200] |= {"reason": "unreadable", "utility": None}
    fields[400] |= {"keep": True, "reason": "canary", "would_drop": "low_utility"}
    rows = [pick.row for pick in choose(clip(fields), RULE, 12)]
    assert {700, 400} <= set(rows)
    assert 200 not in rows


def test_pictures_show_where_the_consumer_disagrees():
    wrong = np.zeros(1000, np.int64)
    wrong[300] = 1
    picks = choose(scored([0.9] * 999 + [0.1]), RULE, 10, wrong)
    assert {(pick.row, pick.why) for pick in picks} >= {(300, "kept, but the consumer is wrong")}


def test_pictures_go_to_the_clips_that_lost_most():
    clips = [scored([0.9] * 10), scored([0.1] * 10), scored([0.1, 0.9])]
    assert shares(clips, 2) == [0, 1, 1]
    assert shares(clips, 10) == [3, 4, 3]
    live = clip([record(0, 0.1, input="rtsp://cam", time=1e9)] * 3)
    assert shares([live, *clips], 10) == [1, 3, 4, 3]
    assert shares([live], 10) == [1]
    assert shares([live, *clips], 0) == [0, 0, 0, 0]


def test_thinning_keeps_extremes_and_counts():
    rng = np.random.default_rng(0)
    utilities = rng.uniform(0.2, 0.8, 20_000)
    utilities[[777, 12_345]] = 0.0, 1.0
    found = scored(utilities.tolist()).columns
    rows, weights = thinned(found, 2_000)
    assert {777, 12_345} <= set(rows.tolist())
    assert len(rows) <= 2_000
    assert weights.sum() == 20_000
    dropped = ~found.keep
    assert weights[dropped[rows]].sum() == dropped.sum()


def test_a_short_clip_is_drawn_frame_by_frame():
    found = timeline(scored([0.0, None, 1.0]), RULE, 100)
    assert (found["frames"], found["points"], found["weight"]) == (3, 3, None)
    numbers = np.frombuffer(base64.b64decode(found["utility"][0]), "<u2")
    assert numbers.tolist() == [0, UNSCORED, UNSCORED - 1]
    assert sixteen_bits(np.array([0.5], np.float32)).tolist() == [32_767]


def test_intervals_hold_every_frame_once():
    parts = intervals(scored([0.9] * 60 + [0.1] * 43), 10)
    assert len(parts) == 10
    assert sum(part.frames for _, _, part in parts) == 103
    assert [part.kept_share for _, _, part in parts][-1] == 0.0


def test_errors_left_by_hand():
    scores, errors = np.array([0.1, 0.2, 0.3, 0.4]), np.array([1.0, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(errors_left(scores, errors, np.array([0, 0.25, 0.5, 0.75])), [1 / 2, 1 / 3, 1 / 2, 0])
    np.testing.assert_allclose(ideal(errors, np.array([0, 0.25, 0.5])), [1 / 2, 1 / 3, 0])
    np.testing.assert_allclose(errors_left(np.zeros(4), errors, np.array([0.1, 0.7])), [0.5, 0.5])


def test_the_consumer_is_judged_on_the_frames_it_saw(tmp_path):
    found = scored([0.9, 0.1, 0.8, 0.2, None])
    outputs = [
        {"input": "clip.mp4", "index": index, "error": index in (1, 2), "detections": [], "x": 1} for index in range(4)
    ]
    outputs[2] = {"input": "clip.mp4", "index": 2, "useful": False}
    degraded = {"input": "clip.mp4", "index": 0, "distortion": "jpeg=6", "error": True}
    boxes = {"input": "clip.mp4", "index": 4, "detections": []}
    path = write_lines(tmp_path / "consumer.jsonl", [*outputs, degraded, boxes, {"input": "clip.mp4", "index": 0}])
    verdicts, (problem,) = read_verdicts(str(path))
    assert "1 lines are no consumer outputs" in problem.text
    assert verdicts.of(found).tolist() == [0, 1, 1, 0, -1]
    figures = discard_figures([found], verdicts, RULE)
    assert (figures["frames"], figures["errors"]) == (4, 0.5)
    assert figures["filter"] == {
        "discarded": 0.5, "error": 0.5, "errors_dropped": 1, "errors_kept": 1, "right_dropped": 1, "right": 2,
    }  # fmt: skip
    assert figures["curves"]["detection"][0] == 0.5


def test_boxes_that_cannot_be_drawn_are_left_out(tmp_path):
    boxes = [
        {"label": "cat", "score": 0.4, "box": [1, 2, 3, 4]},
        {"box": [0, 0, 1, 1]},
        {"box": [1, 2]},
        {"box": "x"},
        7,
    ]
    boxes.append({"label": "nan", "box": [0, 0, float("nan"), 1]})
    lines = [{"input": "clip.mp4", "index": 1, "error": True, "detections": boxes, "reference": "none"}]
    found = read_boxes(str(write_lines(tmp_path / "c.jsonl", lines)), {("folder/clip.mp4", 1)})
    assert found == {
        ("folder/clip.mp4", 1): {
            "reference": [],
            "detections": [
                {"label": "", "score": 1.0, "box": [0.0, 0.0, 1.0, 1.0]},
                {"label": "cat", "score": 0.4, "box": [1.0, 2.0, 3.0, 4.0]},
            ],
        }
    }
