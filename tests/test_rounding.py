"""Rounding of weights to what small files hold exactly."""

import numpy as np
import pytest
import torch
from torch import nn

from streamfilter.errors import ModelError
from trainer.rounding import FLOAT16, INT8, MOST, round_weights


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 5))


def test_int8_weights_are_whole_multiples_of_one_step_a_channel():
    net = network()
    before = net[0].weight.detach().clone()
    with torch.no_grad():
        net[0].weight[3] = 0
    round_weights(net, INT8)
    rows = net[0].weight.detach().flatten(1).numpy()
    assert not rows[3].any()
    for row, old in zip(rows, before.flatten(1).numpy(), strict=True):
        step = np.abs(row).max() / np.float32(MOST)
        if not step:
            continue
        np.testing.assert_array_equal(np.rint(row / step) * step, row)
        assert len(set(row)) <= 2 * MOST + 1
        # Half a step of rounding; the largest may lose what the coarse step cuts off.
        assert np.abs(row - old).max() <= max(step / 2 * 1.001, np.abs(old).max() / 128)


def test_what_is_no_weight_is_float16_either_way():
    for weights in (FLOAT16, INT8):
        net = network()
        round_weights(net, weights)
        bias = net[0].bias.detach()
        assert torch.equal(bias, bias.half().float())
        assert torch.equal(net[1].running_var, net[1].running_var.half().float())


def test_rounding_again_changes_nothing():
    for weights in (FLOAT16, INT8):
        net = network()
        round_weights(net, weights)
        once = {key: tensor.clone() for key, tensor in net.state_dict().items()}
        round_weights(net, weights)
        assert all(torch.equal(once[key], tensor) for key, tensor in net.state_dict().items())


def test_a_diverged_training_is_told():
    net = network()
    with torch.no_grad():
        net[3].bias[0] = 1e6
    with pytest.raises(ModelError, match="diverged"):
        round_weights(net, FLOAT16)
