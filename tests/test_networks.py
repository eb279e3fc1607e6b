"""Every labelling network through one protocol: ONNX files with the uniform interface, torchvision's by name."""

import math
from pathlib import Path

import numpy as np
import pytest

from streamfilter.consumers.onnx import Fit
from streamfilter.errors import ConfigError, DeviceError, ModelError
from tests.tiny_networks import colour_classifier, fixed_detector
from trainer.networks import load_network
from trainer.networks.base import COCO_CATEGORY_IDS

KIT_NETWORKS = Path(__file__).resolve().parents[2] / "shared" / "kit" / "networks"
RED, GREEN = (255, 0, 0), (0, 255, 0)


def plain(height: int, width: int, colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.mark.parametrize("count", ["N", 1], ids=["batches", "one by one"])
def test_a_classifier_gives_a_row_of_probabilities_a_picture(tmp_path, count):
    network = load_network(colour_classifier(tmp_path / "colour.onnx", count=count), "classification")
    probabilities = network.predict([plain(40, 60, GREEN), plain(9, 9, RED), plain(200, 33, RED)])
    assert (network.name, network.task) == ("colour", "classification")
    assert probabilities.shape == (3, 1000)
    assert probabilities.dtype == np.float32
    assert probabilities.argmax(axis=1).tolist() == [1, 0, 0]
    assert probabilities.max(axis=1) == pytest.approx(math.exp(12) / (math.exp(12) + 999), rel=1e-5)
    assert probabilities.sum(axis=1) == pytest.approx(1, rel=1e-5)


def test_more_pictures_than_a_batch(tmp_path):
    network = load_network(colour_classifier(tmp_path / "colour.onnx"), "classification")
    pictures = [plain(16, 16, RED if index % 3 else GREEN) for index in range(70)]
    assert network.predict(pictures).argmax(axis=1).tolist() == [0 if index % 3 else 1 for index in range(70)]
    assert network.predict([]).shape == (0, 1000)


def test_a_classifier_sees_the_centre():
    rgb = plain(160, 320, GREEN)
    rgb[:, 90:230] = RED
    small = Fit("shorter_side_then_center_crop", 112, crop_ratio=0.875)(rgb)
    assert small.shape == (112, 112, 3)
    assert (small == RED).all()
    assert Fit("shorter_side_then_center_crop", 112).scale(rgb) == (128, 256)


def test_shrinking_averages_over_the_area():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert (Fit("stretch", 16)(stripes) == 100).all()


@pytest.mark.parametrize(
    ("fit", "height", "width", "expected"),
    [
        ("stretch", 50, 200, [0.25, 0.0, 0.5, 0.25]),
        ("letterbox_top_left", 50, 200, [0.25, 0.0, 0.5, 1.0]),
        ("letterbox_top_left", 200, 100, [0.5, 0.0, 1.0, 0.25]),
        ("letterbox_top_left", 100, 100, [0.25, 0.0, 0.5, 0.25]),
    ],
)
def test_boxes_come_back_as_fractions_of_the_picture(tmp_path, fit, height, width, expected):
    path = fixed_detector(tmp_path / "d.onnx", [[0.25, 0, 0.5, 0.25]], [0.8], [0], fit=fit)
    (found,) = load_network(path, "detection").predict([plain(height, width, RED)])
    assert found.boxes.tolist() == [pytest.approx(expected)]
    assert found.scores.tolist() == [pytest.approx(0.8)]
    assert found.category_ids.tolist() == [1]
    assert (found.boxes.dtype, found.scores.dtype, found.category_ids.dtype) == (np.float32, np.float32, np.int64)


def test_letterbox_pads_right_and_below():
    small = Fit("letterbox_top_left", 32, pad_value=114)(plain(40, 80, RED))
    assert (small[:16] == RED).all()
    assert (small[16:] == 114).all()


def test_labels_of_80_become_coco_category_ids(tmp_path):
    path = fixed_detector(tmp_path / "d.onnx", [[0, 0, 1, 1]] * 4, [0.9] * 4, [0, 11, 12, 79])
    (found,) = load_network(path, "detection").predict([plain(8, 8, RED)])
    assert found.category_ids.tolist() == [1, 13, 14, 90]
    assert len(COCO_CATEGORY_IDS) == 80


def test_a_picture_without_objects(tmp_path):
    path = fixed_detector(tmp_path / "d.onnx", [], [], [])
    (found,) = load_network(path, "detection").predict([plain(8, 8, RED)])
    assert found.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"task": None, "fit": None}, "lacks the metadata task, fit"),
        ({"task": "detection"}, "is for detection, not classification"),
        ({"fit": "stretch"}, "known for classification: shorter_side_then_center_crop"),
        ({"input_size": "large"}, "unreadable metadata"),
        ({"input_size": 17}, r"takes .* expected `images` uint8 \(N, 17, 17, 3\)"),
        ({"crop_ratio": 0}, "out of range"),
    ],
)
def test_a_file_without_the_interface_is_refused(tmp_path, metadata, message):
    path = colour_classifier(tmp_path / "c.onnx", **metadata)
    with pytest.raises(ModelError, match=message):
        load_network(path, "classification")


def test_a_detector_lacking_outputs_is_refused(tmp_path):
    path = colour_classifier(tmp_path / "c.onnx", task="detection", fit="stretch")
    with pytest.raises(ModelError, match="lacks boxes, scores, labels"):
        load_network(path, "detection")


@pytest.mark.parametrize("content", [b"", b"no network at all"], ids=["empty", "text"])
def test_a_corrupt_file_is_refused(tmp_path, content):
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.onnx is not a usable ONNX file"):
        load_network(path, "classification")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"none\.onnx does not exist"):
        load_network(tmp_path / "none.onnx", "classification")


def test_a_gpu_that_fails_is_told_and_nothing_falls_back(tmp_path, monkeypatch):
    import onnxruntime

    asked = []

    def session(*args, enable_fallback=1, **options):
        asked.append(enable_fallback)
        raise RuntimeError("cuda_call.cc:154 CUDA failure 35: CUDA driver version is insufficient ; GPU=-1 ; expr=x")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda **_: asked.append("libraries"), raising=False)
    path = colour_classifier(tmp_path / "c.onnx")
    with pytest.raises(DeviceError, match=r"c\.onnx \(CUDA failure 35: CUDA driver version is insufficient\)"):
        load_network(path, "classification", device="cuda")
    assert "libraries" in asked
    assert asked[-1] == 0


def test_a_device_that_is_not_there_is_refused(tmp_path):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(DeviceError, match="no cuda"):
        load_network(colour_classifier(tmp_path / "c.onnx"), "classification", device="cuda")


@pytest.mark.parametrize(
    ("name", "task", "device", "message"),
    [
        ("resnet9000", "classification", "cpu", "unknown network 'resnet9000'.*alexnet"),
        ("alexnet", "segmentation", "cpu", "known: classification, detection"),
        ("alexnet", "classification", "tpu", "known: cpu, cuda"),
    ],
)
def test_what_is_unknown_is_refused_with_what_is_known(name, task, device, message):
    with pytest.raises(ConfigError, match=message):
        load_network(name, task, device=device)


PUBLISHED = {
    "inception_v3": "inception_v3_google-0cc3c7bd.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "densenet121": "densenet121-a639ec97.pth",
    "alexnet": "alexnet-owt-7be5be79.pth",
    "resnext50_32x4d": "resnext50_32x4d-1a0047aa.pth",
    "efficientnet_b7": "efficientnet_b7_lukemelas-c5b4e57e.pth",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "ssd300_vgg16": "ssd300_vgg16_coco-b556d3b4.pth",
    "ssdlite320_mobilenet_v3_large": "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    "retinanet_resnet50_fpn": "retinanet_resnet50_fpn_coco-eeacb38b.pth",
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
}


def test_torchvision_networks_have_their_published_files():
    pytest.importorskip("torchvision")
    from trainer.networks.torchvision import NETWORKS, published_weights, weight_file_name

    found = {name: weight_file_name(name) for name in NETWORKS}
    assert set(found) == set(PUBLISHED)
    for name, published in NETWORKS.items():
        categories = published_weights(name).meta["categories"]
        assert len(categories) == (1000 if published.task == "classification" else 91)
        assert callable(published_weights(name).transforms())
    assert found == PUBLISHED


def test_missing_weights_are_named(tmp_path):
    pytest.importorskip("torchvision")
    with pytest.raises(ModelError, match=r"put vgg19-dcbb9e9d\.pth \(from https://.*\) into .*"):
        load_network("vgg19", "classification", weights_dir=tmp_path)


def test_a_download_that_fails_names_file_and_option(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def unreachable(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ModelError, match=r"no route to host.*alexnet-owt-7be5be79\.pth.*--weights-dir") as caught:
        load_network("alexnet", "classification")
    assert "\n" not in str(caught.value)


def test_a_weight_file_that_runs_code_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"features.0.weight": Path("/")}, tmp_path / PUBLISHED["alexnet"])
    with pytest.raises(ModelError, match="cannot be read"):
        load_network("alexnet", "classification", weights_dir=tmp_path)


def test_a_torchvision_classifier_answers_with_the_weights_given(tmp_path):
    """All weights 0 but one bias: the probability of class 7 is e^5 / (e^5 + 999), whatever the picture."""
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in torchvision.models.alexnet().state_dict().items()}
    state = {key: torch.zeros(1).expand(shape) for key, shape in shapes.items()}
    state["classifier.6.bias"] = torch.zeros(1000)
    state["classifier.6.bias"][7] = 5
    torch.save(state, tmp_path / PUBLISHED["alexnet"])
    network = load_network("alexnet", "classification", tmp_path, threads=1)
    probabilities = network.predict([plain(30, 50, RED), plain(300, 20, GREEN)])
    assert probabilities.shape == (2, 1000)
    assert probabilities.argmax(axis=1).tolist() == [7, 7]
    assert probabilities[:, 7] == pytest.approx(math.exp(5) / (math.exp(5) + 999), rel=1e-5)
    assert (network.name, network.source, len(network.sha256)) == ("alexnet", "alexnet", 64)


def test_a_torchvision_detector_gives_fractions_and_coco_ids(tmp_path):
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchvision.models.detection")
    torch.manual_seed(3)
    module = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()
    torch.save(module.state_dict(), tmp_path / PUBLISHED["ssdlite320_mobilenet_v3_large"])
    rgb = np.random.default_rng(1).integers(0, 255, (90, 120, 3), np.uint8)
    network = load_network("ssdlite320_mobilenet_v3_large", "detection", tmp_path, threads=1)
    (found,) = network.predict([rgb])
    with torch.inference_mode():
        (raw,) = module([torch.from_numpy(rgb).permute(2, 0, 1).float() / 255])
    assert len(found.scores) > 0
    assert found.boxes * np.array([120, 90, 120, 90]) == pytest.approx(raw["boxes"].numpy(), abs=1e-2)
    assert found.scores == pytest.approx(raw["scores"].numpy(), abs=1e-5)
    assert found.category_ids.tolist() == raw["labels"].tolist()


def test_weights_of_another_network_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    pytest.importorskip("torchvision")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / PUBLISHED["ssdlite320_mobilenet_v3_large"])
    with pytest.raises(ModelError, match="belongs to another network"):
        load_network("ssdlite320_mobilenet_v3_large", "detection", tmp_path, threads=1)


@pytest.mark.skipif(not KIT_NETWORKS.is_dir(), reason="the kit is not here")
@pytest.mark.parametrize("name", ["mobilenet_v1_075_192_int8", "squeezenet1_1_227"])
def test_kit_classifiers_know_a_cat(name):
    data = pytest.importorskip("skimage.data")
    network = load_network(KIT_NETWORKS / f"{name}.onnx", "classification")
    cats = range(281, 286)
    assert network.predict([data.chelsea()])[0, cats].sum() > 0.5


@pytest.mark.skipif(not KIT_NETWORKS.is_dir(), reason="the kit is not here")
@pytest.mark.parametrize("name", ["picodet_s_416", "yolox_nano_416", "nanodet_m_416", "fastestdet_352"])
def test_kit_detectors_find_the_astronaut(name):
    data = pytest.importorskip("skimage.data")
    network = load_network(KIT_NETWORKS / f"{name}.onnx", "detection")
    wide = np.pad(data.astronaut(), ((0, 0), (0, 400), (0, 0)))
    (found,) = network.predict([wide])
    best = found.scores.argmax()
    assert found.category_ids[best] == 1
    assert found.boxes[best][2:] == pytest.approx([365 / 912, 1], abs=0.1)
