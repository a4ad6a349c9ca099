"""The benchmarks run, on tiny sizes, and judge what they found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from torch import nn

from aesmamba_sdk.evaluate.report import Result
from aesmamba_sdk.model import linear
from aesmamba_sdk.model import packed as packed_weights
from aesmamba_sdk.model.config import ENCODERS
from benchmarks import __main__ as command
from benchmarks import floor, library, memory, models, scan, scanning, serve
from benchmarks.options import Options
from benchmarks.report import machine, write
from benchmarks.shapes import products
from benchmarks.timing import interleaved

TINY = Options(
    threads=(1,),
    batches=(1,),
    image=32,
    encoders=("nano",),
    company=("mobilenet_v2",),
    scanned=("nano",),
    states=(1,),
    photos=2,
    cached=300,
    patience=0.001,
)


@pytest.mark.parametrize(
    "measure",
    [models.measure_inference, floor.measure, scan.measure, library.measure, serve.measure],
)
def test_every_figure_is_a_positive_number(measure, tmp_path):
    result = measure(TINY)
    written = write(tmp_path, [result], machine())
    assert written.read_text().startswith("# ")
    (report,) = tmp_path.glob("*.json")
    assert json.loads(report.read_text())
    for table in result.tables:
        assert table.rows
        for row in table.rows:
            assert all(cell > 0 for cell in row if isinstance(cell, float))


def test_calls_are_measured_by_turns():
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    interleaved(calls, TINY.budget(0.0, least=3))
    assert "".join(order).count("ab") >= 3


def test_short_calls_are_warmed_in_their_turn_unless_they_are_to_be_cold():
    made = {"warm": 0, "cold": 0}

    def call(name):
        made[name] += 1

    calls = {name: lambda name=name: call(name) for name in made}
    timings = interleaved(calls, TINY.budget(0.0, least=5), cold=("cold",))
    assert made == {"warm": 11, "cold": 6}
    assert {len(timing.rounds) for timing in timings.values()} == {5}


@pytest.mark.skipif(linear.linear_report() == "torch", reason="this torch cannot pack weights")
@pytest.mark.parametrize("purpose", memory.PURPOSES)
def test_memory_is_measured_of_networks_as_they_run(purpose):
    copies = packed_weights._copies
    network = memory.network("nano", purpose)
    assert network.training == (purpose == "training")
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    packed = [layer.weight in copies for layer in layers]
    assert packed == [purpose == "inference"] * len(layers)


def test_the_peak_of_a_network_is_measured_in_a_process_of_its_own():
    assert memory._peak("nano", "inference", 1, TINY) > 2**20


def test_the_products_of_tiny_are_the_published_number_of_multiplications():
    """VMamba-T: 4.9 G with the scan, which is no product."""
    total = sum(p.multiplications for p in products(ENCODERS["tiny"], 224))
    assert 4.5e9 < total < 4.9e9


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("scan --threads 0", "--threads: '0' is no whole number of at least 1"),
        ("folder --photos -1", "--photos"),
        ("models --encoders huge", "invalid choice: 'huge'"),
        ("floor --image 200", "200 is no multiple of 32"),
        ("floor models --image 192", "networks of models need at least 224"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_the_start(capsys, arguments, told):
    with pytest.raises(SystemExit):
        command.main(arguments.split())
    assert told in capsys.readouterr().err


def test_without_linux_all_but_whole_commands_are_measured(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(scanning, "STATUS", Path("/nowhere"))
    with pytest.raises(SystemExit):
        command.main(["scanning"])
    assert "scanning needs Linux" in capsys.readouterr().err
    measured: list[str] = []
    for part in command.PARTS:
        monkeypatch.setitem(command.PARTS, part, lambda options, part=part: stub(measured, part))
    assert command.main(["--output", str(tmp_path)]) == 0
    assert measured == [part for part in command.PARTS if part != "scanning"]


def stub(measured: list[str], part: str) -> Result:
    measured.append(part)
    return Result(part, [])
