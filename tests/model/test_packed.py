"""When a packed copy of a weight is used, and when it is not any more."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import nn

from aesmamba_sdk.model import packed


def test_a_copy_is_found_in_its_order_alone() -> None:
    weight, copy = nn.Parameter(torch.randn(3)), torch.randn(3)
    packed.keep(weight, "one", copy)
    assert packed.find(weight, "one") is copy
    assert packed.find(weight, "another") is None
    packed.keep(weight, "another", copy)
    assert packed.find(weight, "one") is None


def test_a_weight_that_was_written_to_has_no_copy() -> None:
    weight = nn.Parameter(torch.randn(3))
    packed.keep(weight, "one", torch.randn(3))
    with torch.no_grad():
        weight.mul_(2)
    assert packed.find(weight, "one") is None


def test_a_weight_that_lost_digits_on_its_way_has_no_copy() -> None:
    """Its new memory must not happen to be where the old one was."""
    for features in (8, 64, 256):
        layer = nn.Linear(features, features)
        packed.keep(layer.weight, "one", layer.weight.detach().clone())
        layer.half().float()
        assert packed.find(layer.weight, "one") is None


def test_a_copy_ends_with_its_weight() -> None:
    weight, copy = nn.Parameter(torch.randn(3)), torch.randn(3)
    packed.keep(weight, "one", copy)
    kept = weakref.ref(copy)
    del copy
    gc.collect()
    assert kept() is packed.find(weight, "one")
    del weight
    gc.collect()
    assert kept() is None


def test_threads_that_find_a_copy_out_of_date_at_once_do_not_trip_over_each_other() -> None:
    def find(weight: nn.Parameter) -> bool:
        return packed.find(weight, "one") is None

    with ThreadPoolExecutor(4) as pool:
        for _ in range(100):
            weight = nn.Parameter(torch.randn(3))
            packed.keep(weight, "one", torch.randn(3))
            with torch.no_grad():
                weight.add_(1)
            assert all(pool.map(find, [weight] * 8))
