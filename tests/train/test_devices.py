"""Several processes take the same steps as one."""

from __future__ import annotations

import socket
import sys

import numpy as np
import pytest
import torch
from torch import nn

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.train.devices import Devices, open_devices
from aesmamba_sdk.train.loop import TrainingArguments
from aesmamba_sdk.train.trainer import Trainer
from tests.train.test_training import CONFIG, bright_is_beautiful

ARGUMENTS = TrainingArguments(epochs=1, batch_size=8, learning_rate=3e-3, image_size=16, ema=0.5)


def run(folder, devices) -> dict[str, torch.Tensor]:
    from aesmamba_sdk.model.aesmamba import AesMamba

    torch.manual_seed(0)
    photos = bright_is_beautiful(64, 0)  # plain: crops, which differ by process, all look alike
    trainer = Trainer(
        AesMamba(CONFIG), photos, bright_is_beautiful(16, 1), folder, ARGUMENTS, devices=devices
    )
    trainer.run()
    return trainer.model.state_dict()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def work(rank, folder, port):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    state = run(folder / "two", Devices(torch.device("cpu"), rank, 2))
    torch.save(state, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="gloo")
def test_two_processes_learn_what_one_learns(tmp_path):
    torch.multiprocessing.spawn(work, (tmp_path, free_port()), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{i}.pt", weights_only=True) for i in (0, 1))
    one = run(tmp_path / "one", Devices(torch.device("cpu")))
    for name, value in one.items():
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-4)
    assert (tmp_path / "two/metrics.jsonl").read_text().count('"validation_srcc') == 1


def test_shares_are_disjoint_and_whole():
    rows = np.arange(8)
    shares = [Devices(torch.device("cpu"), rank, 4).share(rows) for rank in range(4)]
    assert sorted(np.concatenate(shares)) == list(rows)
    assert {len(share) for share in shares} == {2}


def test_one_process_leaves_gradients_alone():
    layer = nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    expected = layer.weight.grad.clone()
    Devices(torch.device("cpu")).average(layer.parameters())
    assert torch.equal(layer.weight.grad, expected)


def test_a_batch_that_cannot_be_shared_is_told(tmp_path):
    with pytest.raises(SetupError, match="a batch of 8 cannot be shared equally by 3 processes"):
        run(tmp_path, Devices(torch.device("cpu"), 0, 3))


def test_one_process_needs_no_accelerate(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert open_devices("cpu") == Devices(torch.device("cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SetupError, match=r"aesmamba-sdk\[train\]"):
        open_devices("cpu")
