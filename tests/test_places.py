"""The model that looks twice: its maps of found objects, what it may change, and what it remembers."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from streamfilter.distort import Distortion
from streamfilter.errors import ConfigError
from streamfilter.spec import input_hw
from tests.tiny_kit import write_kit
from trainer.dataset import load_tables, merge, network_names
from trainer.label import LabelJob, label
from trainer.models import build
from trainer.places.looks import RememberedLooks
from trainer.places.loop import map_loss
from trainer.places.objects import Found, FoundObjects, draw
from trainer.runs import TrainConfig
from trainer.views import Pictures

torch.set_num_threads(1)

TASKS = ("classification", "detection")
HEADS = ("head", "scal")
NETWORKS = (("classification", "a"), ("detection", "b"))


def found(*objects: tuple[tuple[float, float, float, float], float]) -> Found:
    boxes = np.array([box for box, _ in objects], np.float32).reshape(-1, 4)
    return Found(boxes, np.array([score for _, score in objects], np.float32))


def test_an_object_stands_in_the_middle_of_its_box():
    drawn = draw(found(((0.25, 0.25, 0.75, 0.75), 0.8)), 8)
    assert drawn[3:5, 3:5] == pytest.approx(np.full((2, 2), 0.8))
    assert np.isnan(drawn[2:6, 2:6]).sum() == 12
    assert drawn[0].tolist() == [0] * 8
    assert (drawn[:, 6:] == 0).all()


def test_an_object_that_is_not_found_differs_from_an_empty_place():
    drawn = draw(found(((0, 0, 0.5, 0.5), 0.0)), 4)
    assert 0 < np.nanmax(drawn) < 0.001


def test_the_surest_of_two_objects_in_one_place_counts():
    one, other = ((0.2, 0.2, 0.8, 0.8), 0.3), ((0.3, 0.3, 0.7, 0.7), 0.9)
    for order in ([one, other], [other, one]):
        assert draw(found(*order), 5)[2, 2] == pytest.approx(0.9)


def test_objects_at_the_edge_and_tiny_ones_stay_in_the_map():
    drawn = draw(found(((0.98, 0.98, 1, 1), 0.7), ((0.01, 0.0, 0.011, 0.001), 0.6)), 10)
    assert (drawn[9, 9], drawn[0, 0]) == (pytest.approx(0.7), pytest.approx(0.6))


def test_places_without_an_object_count_little_and_unknown_ones_not_at_all():
    chart = torch.tensor([[[[2.0, -2.0, 50.0]]]])
    maps = torch.tensor([[[[1.0, 0.0, float("nan")]]]])
    wanted = (np.log1p(np.exp(-2)) + 0.05 * np.log1p(np.exp(-2))) / 1.05
    assert float(map_loss(chart, maps)) == pytest.approx(wanted, rel=1e-5)
    assert float(map_loss(chart, torch.full_like(maps, float("nan")))) == 0


def test_it_learns_both_heads_and_keeps_the_published_layers():
    torch.manual_seed(0)
    net = build("lite0_centred", TASKS, "imagenet", front="unit", networks=NETWORKS)
    assert (net.fit, build("lite0_whole", TASKS, front="unit").fit) == ("stretch_and_centre", "stretch")
    images = torch.randint(0, 256, (4, *input_hw(64, net.fit), 3), dtype=torch.uint8)
    trunk = {key: value.clone() for key, value in net.backbone.whole.state_dict().items() if key[:4] not in HEADS}
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    first = net.eval().all_logits(images).detach()
    net.train()
    for _ in range(2):
        optimizer.zero_grad()
        net.all_logits(images).sum().backward()
        optimizer.step()
    assert ((net.eval().all_logits(images) - first).abs().amax(0) > 0).all()
    after = net.backbone.whole.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in trunk.items())


def test_detection_hears_the_centre_and_the_whole_and_classification_the_centre():
    torch.manual_seed(0)
    net = build("lite0_centred", TASKS, "imagenet", front="unit", networks=NETWORKS).eval()
    torch.nn.init.normal_(net.backbone.head[-1].weight, std=0.1)
    images = torch.randint(0, 256, (1, *input_hw(64, net.fit), 3), dtype=torch.uint8)
    other_whole, other_centre = images.clone(), images.clone()
    other_whole[:, :64] = 255 - other_whole[:, :64]
    other_centre[:, 64:] = 255 - other_centre[:, 64:]
    with torch.inference_mode():
        before, whole, centre = (net.all_logits(one)[0] for one in (images, other_whole, other_centre))
    assert (before != whole).tolist() == [False, True, False, True]
    assert (before != centre).all()


def test_it_starts_as_the_published_network_at_the_centre():
    torch.manual_seed(0)
    net = build("lite0_centred", TASKS, "imagenet", front="unit", networks=NETWORKS).eval()
    images = torch.randint(0, 256, (2, *input_hw(64, net.fit), 3), dtype=torch.uint8)
    with torch.inference_mode():
        wanted = net.backbone.whole(net.planes(images)[:, :, 64:, :32])
        assert torch.equal(net.all_logits(images), wanted)


def test_how_it_may_be_trained():
    settings = {"model": "lite0_centred", "target": "confidence", "balance": "none", "input_size": 64, "room": 1}
    TrainConfig(("labels",), **settings)
    with pytest.raises(ConfigError, match="lite0_centred learns confidences"):
        TrainConfig(("labels",), **{**settings, "target": "label"})
    with pytest.raises(ConfigError, match="lite0_centred looks at whole views, once: use --room 1 and no --patch"):
        TrainConfig(("labels",), **{**settings, "room": 1.25})
    with pytest.raises(ConfigError, match="lite0_centred wants views of a multiple of 32 pixels"):
        TrainConfig(("labels",), **{**settings, "input_size": 100})


def test_it_goes_on_from_its_own_finished_run_alone(tmp_path):
    torch.manual_seed(1)
    earlier = build("lite0_centred", TASKS, front="unit", networks=NETWORKS)
    networks = [list(pair) for pair in NETWORKS]
    recipe = {"model": "lite0_centred", "tasks": list(TASKS), "front": "unit", "networks": networks}
    checkpoint = {"recipe": recipe, "model": earlier.state_dict(), "calibrated": True, "epoch": 1}
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    net = build("lite0_centred", TASKS, str(tmp_path), front="unit", networks=NETWORKS)
    taken = net.backbone.state_dict()
    assert all(torch.equal(value, taken[key]) for key, value in earlier.backbone.state_dict().items())
    for model, front in (("lite0_whole", "unit"), ("lite0_centred", "rgb")):
        with pytest.raises(ConfigError, match="is a lite0_centred for classification, detection with front unit"):
            build(model, TASKS, str(tmp_path), front=front, networks=NETWORKS)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("places")
    kit, out = write_kit(root), root / "labels"
    networks = tuple(str(kit / "networks" / f"{name}.onnx") for name in ("picodet_s_416", "nanodet_m_416"))
    truth = kit / "detection" / "instances.json"
    distortions = (Distortion("jpeg", 1), Distortion("jpeg", 50))
    job = LabelJob("detection", kit / "detection", networks, out, truth, distortions, split="dev", workers=1)
    assert label(job, show_progress=False) == []
    pairs = network_names([out], ["detection"])
    return load_tables([out], ["detection"], pairs), pairs


def test_maps_are_what_the_tables_say(tables):
    loaded, pairs = tables
    rows = merge(row for table in loaded for row in table.rows)
    maps = FoundObjects(loaded, [None, *pairs]).maps(rows, 4)
    assert maps.shape == (len(rows), 3, 4, 4)
    assert np.isnan(maps[:, 0]).all()
    highest = np.nanmax(maps[:, 1:], axis=(2, 3))
    confidences = np.array([row.confidences for row in rows])
    known = ~np.isnan(confidences)
    assert known.any()
    # The tables keep no detection under 0.05; an object that is not found is not 0, to differ from an empty place.
    assert highest[known] == pytest.approx(confidences[known], abs=2e-4)
    assert (maps[:, 1:, :, 2:] == 0).all(), "the right half holds nobody"


def test_a_row_that_no_table_knows_asks_for_nothing(tables):
    loaded, pairs = tables
    row = replace(loaded[0].rows[0], content_hash="another")
    assert np.isnan(FoundObjects(loaded, pairs).maps([row], 4)).all()


def test_looks_are_those_of_the_network_and_are_made_once(tables, tmp_path, monkeypatch):
    loaded, pairs = tables
    rows = loaded[0].rows[:3]
    torch.manual_seed(0)
    net = build("lite0_centred", ("detection",), front="unit", networks=pairs).eval()
    pictures = Pictures(rows, 64, fit=net.fit)
    looks = RememberedLooks(net, pictures, 64, tmp_path)
    images = torch.from_numpy(pictures.batch(range(3)))
    with torch.inference_mode():
        wanted = net.backbone.look(net.planes(images))
    for got, right in zip(looks.batch([0, 1, 2]), wanted, strict=True):
        assert got.shape == right.shape
        assert torch.allclose(got, right, rtol=2e-3, atol=2e-3)
    monkeypatch.setattr(Pictures, "_make", None)
    again = RememberedLooks(net, Pictures(rows, 64, fit=net.fit), 64, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(again.batch([2, 0]), looks.batch([2, 0]), strict=True))


def test_looks_that_find_no_room_are_made_again(tables):
    loaded, pairs = tables
    net = build("lite0_centred", ("detection",), front="unit", networks=pairs)
    looks = RememberedLooks(net, Pictures(loaded[0].rows[:2], 64, fit=net.fit), cache_mb=0)
    assert all(torch.equal(a, b) for a, b in zip(looks.batch([1]), looks.batch([1]), strict=True))
