"""The figures of every table against numbers worked by hand, and mAP against pycocotools itself."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.metrics import roc_auc_score

from streamfilter.consumers.detections import Detections
from streamfilter.consumers.matching import Objects
from streamfilter.errors import InputError
from trainer.judge.charts import spread
from trainer.judge.coco import Versions, single_precision
from trainer.judge.decisions import phantoms
from trainer.judge.discard import confident_figures, discard_figures
from trainer.judge.discarding import errors_kept, lowest, partial_auc, share_of_gain
from trainer.judge.distortions import stacked_auroc
from trainer.judge.networks import judge_label
from trainer.judge.oracle import fit
from trainer.judge.replacing import judge_network
from trainer.judge.unseen import filter_figures

LEFT, RIGHT, WHOLE = [0, 0, 0.5, 1], [0.5, 0, 1, 1], [0, 0, 1, 1]


def objects(*pairs):
    boxes, categories = zip(*pairs, strict=True) if pairs else ((), ())
    return Objects(np.array(boxes, np.float32).reshape(-1, 4), np.array(categories, np.int64))


def detections(*triples):
    boxes, scores, categories = zip(*triples, strict=True) if triples else ((), (), ())
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(categories, np.int64)
    )


def test_errors_kept_of_worked_numbers():
    scores, errors = np.array([4.0, 3, 2, 1]), np.array([0.0, 1, 0, 1])
    assert errors_kept(scores, errors, np.array([0, 0.25, 0.5])) == pytest.approx([1 / 2, 1 / 3, 1 / 2])
    assert errors_kept(scores, errors, np.array([0.125])) == pytest.approx([1.5 / 3.5])


def test_equal_scores_are_discarded_at_random():
    scores, errors = np.array([1.0, 1, 2, 2]), np.array([1.0, 0, 0, 0])
    assert errors_kept(scores, errors, np.array([0.25])) == pytest.approx([0.5 / 3])
    assert errors_kept(np.zeros(4), errors, np.array([0.25, 0.5])) == pytest.approx([0.25, 0.25])


def test_partial_area_is_one_for_ideal_and_none_without_errors():
    errors = np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    assert partial_auc(-errors, errors) == pytest.approx(1)
    assert partial_auc(np.zeros(10), errors) == pytest.approx(0)
    assert partial_auc(errors, errors) < 0
    assert partial_auc(errors, np.zeros(10)) is None
    assert partial_auc(np.full(10, np.nan), errors) is None


def test_the_lowest_rows_are_exactly_as_many_as_asked():
    assert lowest(np.array([3.0, 1, 2]), 2).tolist() == [False, True, True]
    assert lowest(np.zeros(9), 4).sum() == 4
    assert (lowest(np.zeros(99), 50, 0) != lowest(np.zeros(99), 50, 1)).any()


def test_share_of_gain():
    assert share_of_gain(0.4, 0.5, 0.6) == pytest.approx(0.5)
    assert share_of_gain(0.4, 0.4, 0.4) is None


def test_discard_figures_average_the_networks():
    errors = np.array([[1, 1], [0, 1], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]], bool)
    scores = {"good": np.arange(10.0), "gone": np.full(10, np.nan)}
    found = discard_figures(scores, errors, np.ones_like(errors))
    assert found["random"]["errors"] == pytest.approx([0.15] * 5)
    assert found["good"]["errors"] == pytest.approx([0.15, (0.5 + 1.5) / 9.5 / 2, (0 + 1) / 9 / 2, 0, 0])
    assert (found["ideal"]["partial_auc"], found["random"]["partial_auc"]) == pytest.approx((1, 0))
    assert found["good"]["partial_auc"] == found["good"]["partial_auc_pristine_right"] == pytest.approx(1)
    assert found["gone"]["errors"] is None


def test_confident_errors_per_thousand_frames_kept():
    errors = np.array([[1], [0], [1], [0], [0]], bool)
    found = confident_figures({"good": np.array([0.0, 2, 1, 3, 4])}, errors, 0.2)
    assert found == pytest.approx({"before": 400, "random": 400, "ideal": 250, "good": 250})


def test_phantoms_are_confident_detections_without_an_object():
    truth = [objects((LEFT, 1))] * 5 + [objects()]
    found = [
        detections((LEFT, 0.9, 1)),
        detections((LEFT, 0.9, 2)),
        detections((RIGHT, 0.49, 1)),
        detections((LEFT, 0.9, 1), (RIGHT, 0.5, 1)),
        detections(),
        detections((WHOLE, 0.8, 3)),
    ]
    assert phantoms(truth, found).tolist() == [False, True, False, True, False, True]


def test_one_label_of_worked_numbers():
    scores, labels = np.array([0.9, 0.6, 0.55, 0.1, 0.3]), np.array([1, 1, 0, 0, -1], np.int8)
    found = judge_label(scores, labels, is_model=True)
    assert found["balanced_accuracy"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["best"] == {"balanced_accuracy": 1, "threshold": 0.6}
    assert "balanced_accuracy" not in judge_label(scores, labels, is_model=False)


def test_stacked_networks_rank_as_one_long_list():
    random = np.random.default_rng(3)
    scores, utilities = random.random(60), random.integers(-1, 2, (60, 3)).astype(np.int8)
    known = [(scores[row], one) for row, line in enumerate(utilities) for one in line if one >= 0]
    values, labels = zip(*known, strict=True)
    assert stacked_auroc(scores, utilities) == pytest.approx(roc_auc_score(labels, values))


def test_the_oracle_knows_kind_and_strength():
    kinds = np.array(["jpeg"] * 4 + ["blur"] * 2 + ["pristine"])
    strengths = np.array([10, 10, 20, 20, 1, 3, np.nan])
    useful = np.array([[0, 0], [1, -1], [1, 1], [1, 1], [1, 1], [0, 0], [0, 0]], np.int8)
    oracle = fit(kinds, strengths, useful)
    asked = np.array(["jpeg", "jpeg", "jpeg", "jpeg", "blur", "fog", "pristine"])
    found = oracle.predict(asked, np.array([10, 15, 20, 90, 2, 1, np.nan]))
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 1 / 2, 7 / 11, 1])
    with pytest.raises(InputError, match="no distorted row"):
        fit(kinds[-1:], strengths[-1:], useful[-1:])


def test_many_strengths_share_bins():
    strengths = np.arange(1.0, 101)
    oracle = fit(np.array(["noise"] * 100), strengths, (strengths < 51).astype(np.int8)[:, None], bins=4)
    known, means = oracle.curves["noise"]
    assert len(known) == 4
    assert means == pytest.approx([1, 1, 0, 0], abs=0.05)
    assert (np.diff(known) > 0).all()


def random_pictures(seed: int, count: int, places: list[Objects] | None = None):
    """Objects, or shaky detections of `places` with phantoms among them."""
    random = np.random.default_rng(seed)
    found = []
    for index in range(count):
        number = int(random.integers(0, 5))
        corner = random.random((number, 2)) * 0.6
        boxes = np.concatenate([corner, corner + 0.1 + random.random((number, 2)) * 0.3], axis=1)
        categories = random.integers(1, 4, number)
        if places is None:
            found.append(Objects(boxes.astype(np.float32), categories))
            continue
        shaken = places[index].boxes + random.normal(0, 0.02, places[index].boxes.shape)
        boxes, categories = np.concatenate([shaken, boxes]), np.concatenate([places[index].category_ids, categories])
        found.append(Detections(boxes.astype(np.float32), random.random(len(boxes)).astype(np.float32), categories))
    return found


def reference_map(truth, found, side=640):
    """mAP by pycocotools the usual way, boxes in pixels of a `side` x `side` picture."""
    coco = COCO()
    annotations = [
        {"id": 0, "image_id": image, "category_id": int(category), "iscrowd": 0, "area": 1000.0,
         "bbox": [float(one) * side for one in (box[0], box[1], box[2] - box[0], box[3] - box[1])]}
        for image, picture in enumerate(truth)
        for box, category in zip(picture.boxes, picture.category_ids, strict=True)
    ]  # fmt: skip
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    coco.dataset = {
        "info": {},
        "images": [{"id": image, "width": side, "height": side} for image in range(len(truth))],
        "annotations": annotations,
        "categories": [{"id": one} for one in (1, 2, 3)],
    }
    results = [
        {"image_id": image, "category_id": int(category), "score": float(score),
         "bbox": [float(one) * side for one in (box[0], box[1], box[2] - box[0], box[3] - box[1])]}
        for image, picture in enumerate(found)
        for box, score, category in zip(picture.boxes, picture.scores, picture.category_ids, strict=True)
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def test_map_of_any_choice_of_versions_is_pycocotools():
    truth = random_pictures(1, 25)
    versions = [random_pictures(seed, 25, truth) for seed in (2, 3)]
    matched = Versions(truth, versions)
    for choice in (np.zeros(25, int), np.ones(25, int), np.arange(25) % 2):
        mixed = [versions[one][image] for image, one in enumerate(choice)]
        assert matched.average_precision(choice) == pytest.approx(reference_map(truth, mixed), abs=1e-9)


def test_single_precision_of_worked_numbers():
    matches = np.tile(np.array([[1, 0, 2.0]]), (10, 1))
    matches[5:, 2] = 0
    match = {"dtScores": [0.9, 0.8, 0.7], "dtMatches": matches}
    assert single_precision(match, 2) == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    assert single_precision({"dtScores": [], "dtMatches": np.zeros((10, 0))}, 2) == 0


def test_a_picture_adds_its_share_of_objects():
    truth = [objects((LEFT, 1), (RIGHT, 1)), objects((LEFT, 1), (RIGHT, 2))]
    right = [detections((LEFT, 0.9, 1), (RIGHT, 0.8, 1)), detections((RIGHT, 0.9, 2))]
    matched = Versions(truth, [right, [detections(), detections()]])
    assert matched.quality(0) == pytest.approx([(2 / 3) / 2, (0 + 1) / 2])
    assert matched.quality(1) == pytest.approx([0, 0])
    assert np.isnan(Versions([objects()], [[detections()]]).average_precision(np.zeros(1, int)))


def test_replacing_recovers_what_was_lost():
    truth = [objects((LEFT, 1))] * 4
    pristine = [detections((LEFT, 0.9, 1))] * 4
    distorted = [detections(), detections(), *pristine[2:]]
    versions = Versions(truth, [distorted, pristine, [detections()] * 4])
    scores = {"ours": np.array([0.1, 0.6, 0.2, 0.9]), "rival": np.array([0.1, 0.2, 1, 1]), "gone": np.full(4, np.nan)}
    found = judge_network(versions, scores, {"ours": scores["ours"] < 0.5}, [0.25])
    half, three = 51 / 101, 76 / 101
    assert (found["before"], found["pristine"]) == pytest.approx((half, 1))
    mine = found["models"]["ours"]
    assert (mine["replaced"], mine["ideal"], mine["missed"]) == pytest.approx((three, 1, 26 / 101))
    assert mine["share_of_gain"] == pytest.approx((three - half) / (1 - half))
    assert mine["scorers"]["rival"]["share_of_gain"] == pytest.approx(1)
    assert mine["scorers"]["gone"] == {"replaced": None, "missed": None, "share_of_gain": None}
    (quarter,) = found["shares"]
    assert quarter["ideal"] == pytest.approx(three)
    assert quarter["scorers"]["ours"]["share_of_gain"] == pytest.approx(1)


def test_filtering_of_worked_numbers():
    errors = np.array([True, True, False, False])
    scores = {"ours": np.array([0.1, 0.6, 0.2, 0.9]), "rival": np.array([0.0, 0, 1, 1])}
    found = filter_figures(errors, scores, {"ours": scores["ours"] < 0.5, "rival": np.ones(4, bool)}, [0.25])
    assert found["before"] == 0.5
    mine = found["models"]["ours"]
    assert (mine["after"], mine["ideal"], mine["share_of_gain"]) == pytest.approx((0.5, 1, 0))
    assert mine["scorers"]["rival"]["share_of_gain"] == pytest.approx(1)
    assert found["models"]["rival"]["after"] is None
    (quarter,) = found["shares"]
    assert (quarter["ideal"], quarter["scorers"]["ours"]["after"]) == pytest.approx((2 / 3, 2 / 3))
    assert quarter["scorers"]["random"]["share_of_gain"] == 0


def test_names_at_the_curves_do_not_lie_on_each_other():
    assert spread([0.5, 0.1, 0.11], 0.1) == pytest.approx([0.5, 0.055, 0.155])
