"""The user's own detector or classifier: networks, Python callables, files of outputs, and what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest

from streamfilter.consumers import Bars, Verdict, compare, open_consumer, read_outputs
from streamfilter.consumers.answers import Categories, read_answer
from streamfilter.consumers.detections import Detections
from streamfilter.consumers.verdict import Label
from streamfilter.errors import ConfigError, ConsumerError, InputError, InputNotFoundError, ModelError
from tests.tiny_networks import colour_classifier, fixed_detector

RED = np.full((40, 60, 3), (255, 0, 0), np.uint8)
DIM = np.full((40, 60, 3), (102, 0, 0), np.uint8)
BARS = Bars()


def found(*objects: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
    return Detections(
        np.array([box for _, _, box in objects], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in objects], np.float32),
        np.array([label for label, _, _ in objects], np.int64),
    )


LEFT, HALF, RIGHT = (0, 0, 10, 10), (0, 0, 10, 5), (20, 0, 30, 10)


@pytest.mark.parametrize(
    ("reference", "answer", "useful", "errors"),
    [
        ([(1, 0.9, LEFT)], [(1, 0.6, LEFT)], True, 0),
        ([(1, 0.9, LEFT)], [(1, 0.6, HALF)], True, 0),
        ([(1, 0.9, LEFT)], [(1, 0.49, LEFT)], False, 0),
        ([(1, 0.9, LEFT)], [(2, 0.9, LEFT)], False, 1),
        ([(1, 0.9, LEFT)], [(1, 0.9, RIGHT), (1, 0.8, LEFT)], True, 1),
        ([(1, 0.9, LEFT)], [], False, 0),
        ([(1, 0.3, LEFT)], [(1, 0.9, LEFT)], None, 0),
        ([(1, 0.2, LEFT)], [(1, 0.9, LEFT)], None, 1),
        ([], [(1, 0.9, LEFT), (2, 0.9, RIGHT), (3, 0.4, LEFT)], None, 2),
        ([(1, 0.9, LEFT), (1, 0.9, LEFT)], [(1, 0.9, LEFT)], True, 0),
    ],
)
def test_detections_are_compared_with_those_on_the_original(reference, answer, useful, errors) -> None:
    assert compare(found(*reference), found(*answer), BARS) == Verdict(useful, errors, "detection")


def test_boxes_that_overlap_too_little_are_two() -> None:
    strict = Bars(iou=0.6)
    assert compare(found((1, 0.9, LEFT)), found((1, 0.9, HALF)), strict) == Verdict(False, 1, "detection")


def test_classes_are_compared_without_margins() -> None:
    cat, faint_cat, dog, faint_dog = Label(1, 0.9), Label(1, 0.1), Label(2, 0.5), Label(2, 0.49)
    verdicts = [compare(cat, answer, BARS) for answer in (cat, faint_cat, dog, faint_dog)]
    assert [(one.useful, one.errors) for one in verdicts] == [(True, 0), (True, 0), (False, 1), (False, 0)]


def test_one_kind_of_answer_only() -> None:
    with pytest.raises(ConsumerError, match="one kind"):
        compare(Label(1, 0.9), found(), BARS)


def test_bars_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"confidence is 1\.5.*IoU is -1"):
        Bars(confidence=1.5, iou=-1)


def test_a_detector_network(tmp_path: Path) -> None:
    path = fixed_detector(tmp_path / "door.onnx", [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], [0.9, 0.4], [3, 100])
    consumer = open_consumer(str(path))
    seen = consumer.ask(RED)
    assert isinstance(seen, Detections)
    assert (consumer.name, seen.category_ids.tolist()) == ("door.onnx", [3, 100])
    assert compare(seen, consumer.ask(DIM), BARS) == Verdict(False, 0, "detection")


def test_a_classifier_network(tmp_path: Path) -> None:
    consumer = open_consumer(str(colour_classifier(tmp_path / "colour.onnx", count=1)))
    assert consumer.ask(RED) == Label(0, pytest.approx(0.9939, abs=1e-3))


def test_a_network_without_the_interface(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="lacks the metadata task"):
        open_consumer(str(fixed_detector(tmp_path / "x.onnx", [], [], [], task=None)))
    with pytest.raises(ModelError, match=r"nowhere\.onnx does not exist"):
        open_consumer("nowhere.onnx")


def test_a_callable_detector_and_a_callable_classifier() -> None:
    assert compare(*[open_consumer("tests.seeing:bright_scene").ask(RED)] * 2, BARS).useful is True
    assert isinstance(open_consumer("tests.seeing:light").ask(RED), Label)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tests.seeing:NOT_CALLABLE", "has no callable NOT_CALLABLE"),
        ("tests.seeing:nothing", "has no callable nothing"),
        ("no_such_module:f", "importing no_such_module raised ModuleNotFoundError"),
        ("detector.pt", "expected NETWORK.onnx, pkg.mod:callable"),
        ("tests.seeing:", "expected NETWORK.onnx"),
    ],
)
def test_entry_points_that_lead_nowhere(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_consumer(text)


def test_a_module_that_raises_while_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_consumer.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="importing broken_consumer raised ZeroDivisionError"):
        open_consumer("broken_consumer:f")


def test_what_a_callable_raises_is_told() -> None:
    with pytest.raises(ConsumerError, match="it raised ZeroDivisionError: no weights loaded"):
        open_consumer("tests.seeing:raises").ask(RED)
    with pytest.raises(ConsumerError, match=r"it raised ValueError: no weights loaded$"):
        open_consumer("tests.seeing:raises_at_length").ask(RED)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a cat", "it returned 'a cat', expected a list"),
        (None, "it returned None"),
        ([("car", 0.9)], r"a detection is \('car', 0.9\)"),
        ([("car", 1.1, LEFT)], "score 1.1"),
        ([("car", float("nan"), LEFT)], "score nan"),
        ([("car", 0.9, (0, 0, 1))], "expected four numbers"),
        ([("car", 0.9, (0, 0, float("inf"), 1))], "expected four numbers"),
        ([("car", 0.9, (5, 0, 1, 1))], "right is left of left"),
        ([("car", 0.9, 7)], "expected four numbers"),
        ([(None, 0.9, LEFT)], "label None"),
        ([{"label": "car", "score": 0.9}], "lacks box"),
        (("cat", "sure"), "score 'sure'"),
        ({"label": "cat"}, "lacks score"),
    ],
)
def test_nonsense_answers(given: object, said: str) -> None:
    with pytest.raises(ConsumerError, match=said):
        read_answer(given, Categories())


def test_answers_in_all_their_forms() -> None:
    categories = Categories()
    as_dict = read_answer([{"label": "car", "score": np.float32(0.5), "box": np.array(LEFT)}], categories)
    as_tuple = read_answer((("car", 1, LEFT), (7, 0.5, RIGHT)), categories)
    assert isinstance(as_dict, Detections)
    assert isinstance(as_tuple, Detections)
    assert as_dict.category_ids[0] == as_tuple.category_ids[0] != as_tuple.category_ids[1]
    assert read_answer({"label": "cat", "score": 0.5}, categories) == read_answer(("cat", 0.5), categories)
    assert read_answer([], categories).scores.shape == (0,)  # type: ignore[union-attr]
    assert categories["1"] != categories[1]


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


CAR = [{"label": "car", "score": 0.9, "box": LEFT}]


def test_a_file_of_outputs(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text(
        lines(
            {"input": "a.mp4", "index": 0, "distortion": "jpeg=6", "detections": []},
            {"input": "a.mp4", "index": 0, "detections": CAR},
            {"input": "a.mp4", "index": 1, "useful": False, "error": True},
            {"input": "a.mp4", "index": 2, "label": "open", "score": 0.8},
        )
    )
    outputs = read_outputs(path)
    said = outputs.of("folder/a.mp4", 0)
    assert outputs.judge(said, BARS) == {
        "jpeg=6": Verdict(False, 0, "detection"),
        "pristine": Verdict(True, 0, "detection"),
    }
    assert outputs.judge(outputs.of("a.mp4", 1), BARS) == {"pristine": Verdict(False, 1)}
    assert outputs.judge(outputs.of("a.mp4", 2), BARS)["pristine"].task == "classification"
    assert outputs.of("b.mp4", 0) == {}


def test_an_answer_on_a_degraded_frame_alone_cannot_be_judged(tmp_path: Path) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text(lines({"input": "a.mp4", "index": 0, "distortion": "jpeg=6", "detections": []}))
    outputs = read_outputs(path)
    with pytest.raises(ConsumerError, match="no answer on the original frame to compare that on jpeg=6 with"):
        outputs.judge(outputs.of("a.mp4", 0), BARS)


def test_a_file_cut_in_mid_line_loses_that_line_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outputs.jsonl"
    text = lines(*({"input": "a.mp4", "index": index, "detections": CAR} for index in range(5)))
    path.write_text(text[:-20])
    outputs = read_outputs(path)
    assert (len(outputs.said), outputs.bad_lines) == (4, 1)
    assert "1 of 5 lines left out, line 5" in caplog.text


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[1]",
        '{"input": "a.mp4"}',
        '{"input": "a.mp4", "index": 1.5, "detections": []}',
        '{"input": "a.mp4", "index": 1, "useful": 1}',
        '{"input": "a.mp4", "index": 1, "detections": "none"}',
        '{"input": "a.mp4", "index": 1, "distortion": 3, "detections": []}',
        '{"input": "a.mp4", "index": 1}',
        "[" * 100_000,
        "\udcff".encode("utf-8", "surrogateescape").decode("latin-1"),
    ],
)
def test_a_file_of_nonsense_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "outputs.jsonl"
    path.write_text(f"{line}\n" * 3)
    with pytest.raises(InputError, match="3 of 3 lines cannot be used, line 1"):
        read_outputs(path)


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        read_outputs(tmp_path / "no.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(InputError, match="0 of 0 lines"):
        read_outputs(tmp_path / "empty.jsonl")
