"""The CUDA kernel of the mamba-ssm package, where it is installed with its compiled scan."""

from __future__ import annotations

import importlib
from functools import cache

import torch
from torch import Tensor

from aesmamba_sdk.model.selective_scan.pure_torch import TorchEngine, left_to_torch

_REMEDY = (
    "pip install 'aesmamba-sdk[cuda]' with MAMBA_KEEP_CUDA_BUILD=TRUE "
    "(its source builds leave the scan out otherwise)"
)


@cache
def _import_failure() -> str | None:
    """Really import the compiled module: its presence on disk says nothing about its ABI."""
    try:
        importlib.import_module("selective_scan_cuda")
        importlib.import_module("mamba_ssm.ops.selective_scan_interface")
    except Exception as error:  # an ABI mismatch raises whatever the loader feels like
        return f"{type(error).__name__}: {error}; {_REMEDY}"
    return None


class MambaSsmEngine(TorchEngine):
    """``mamba_ssm.ops.selective_scan_interface.selective_scan_fn`` in float32."""

    name = "mamba-ssm"

    def unavailable(self, device: torch.device) -> str | None:
        if device.type != "cuda":
            return f"needs a CUDA device, not {device.type}"
        return _import_failure()

    def scan(
        self,
        u: Tensor,
        delta: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        delta_bias: Tensor | None,
        delta_softplus: bool,
    ) -> Tensor:
        if left_to_torch(u):
            return super().scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
        interface = importlib.import_module("mamba_ssm.ops.selective_scan_interface")
        # Half precision overflows in the state (VMamba reports NaN), so everything is float32.
        skip, bias = (None if t is None else t.float() for t in (D, delta_bias))
        y: Tensor = interface.selective_scan_fn(
            u.float().contiguous(),
            delta.float().contiguous(),
            A.float().contiguous(),
            B.float().contiguous(),
            C.float().contiguous(),
            skip,
            delta_bias=bias,
            delta_softplus=delta_softplus,
        )
        return y
