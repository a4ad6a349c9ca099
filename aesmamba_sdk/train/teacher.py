"""A MobileNetV2 to distil from, read from an ImageNet file in TFLite's int8 format.

The file's integers are dequantised once; the network then runs, and can be trained, in floating
point. Frozen, on a CPU, its convolutions clip in the same pass by oneDNN, with the operator that
``torch.compile`` emits (see ``model/linear.py``). Needs the ``train`` extra
(``tflite`` reads the container).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from aesmamba_sdk.errors import SetupError
from aesmamba_sdk.model.onednn import proven

_STRIDES = (4, 8, 16, 32)
_INT8_LOW = -128


@dataclass(frozen=True)
class _Layer:
    """One operation; ``inputs`` and ``output`` number the activations it reads and writes."""

    kind: str
    inputs: tuple[int, ...]
    output: int
    stride: int = 1
    groups: int = 1
    relu6: bool = False


class MobileNetV2(nn.Module):
    """The last map of each stride: 24, 32, 96 and 1280 channels at strides 4, 8, 16 and 32.

    Args:
        layers: operations in order, up to the last map.
        weights: kernel and bias of each convolution, by the number of its output.
    """

    def __init__(self, layers: list[_Layer], weights: dict[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.layers = layers
        self.channels = len(weights[layers[-1].output][1])
        for output, (kernel, bias) in weights.items():
            kernel = kernel.contiguous(memory_format=torch.channels_last)
            self.register_parameter(f"kernel_{output}", nn.Parameter(kernel))
            self.register_parameter(f"bias_{output}", nn.Parameter(bias))

    @classmethod
    def from_tflite(cls, file: Path) -> MobileNetV2:
        """Read the int8 ImageNet model.

        Raises:
            SetupError: the file or the ``tflite`` package is missing, or it holds another network.
        """
        try:
            import tflite
        except ImportError as error:
            raise SetupError(
                "distillation needs the train extra: pip install 'aesmamba-sdk[train]'"
            ) from error
        if not file.is_file():
            raise SetupError(f"the teacher {file} is missing")
        return cls(*_read_graph(tflite.Model.GetRootAs(file.read_bytes(), 0)))

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        """Images in [0, 1], (batch, 3, H, W), to the last map of each stride."""
        x = (images * 2 - 1).to(self.dtype, memory_format=torch.channels_last)
        side = x.shape[-1]
        activations = {self.layers[0].inputs[0]: x}
        maps: dict[int, Tensor] = {}
        last_use = {number: i for i, layer in enumerate(self.layers) for number in layer.inputs}
        for i, layer in enumerate(self.layers):
            y = self._run(layer, activations)
            activations[layer.output] = y
            for number in layer.inputs:
                if last_use[number] == i:
                    del activations[number]
            # What a block projects to is linear; ReLU6 marks the expansions inside it.
            if not layer.relu6 or i == len(self.layers) - 1:
                maps[2 ** math.ceil(math.log2(side / y.shape[-1]))] = y  # sides round up
        return {stride: maps[stride] for stride in _STRIDES}

    @property
    def dtype(self) -> torch.dtype:
        """In which it computes, whatever its images are in."""
        return next(self.parameters()).dtype

    def _run(self, layer: _Layer, activations: dict[int, Tensor]) -> Tensor:
        x = activations[layer.inputs[0]]
        if layer.kind == "add":
            return x + activations[layer.inputs[1]]
        kernel = getattr(self, f"kernel_{layer.output}")
        bias = getattr(self, f"bias_{layer.output}")
        kernel, padding = _pad_same(kernel, x.shape[-2:], layer.stride)
        if _can_fuse(x, kernel) and (fused := _fused_convolution()) is not None:
            shape = (padding, [layer.stride] * 2, [1, 1], layer.groups)
            clip = ("hardtanh", [0.0, 6.0], "") if layer.relu6 else ("none", [], "")
            clipped: Tensor = fused(x, kernel, bias, *shape, *clip)
            return clipped
        y = F.conv2d(x, kernel, bias, layer.stride, padding, groups=layer.groups)
        return F.hardtanh(y, 0.0, 6.0, inplace=True) if layer.relu6 else y


def _pad_same(kernel: Tensor, sides: tuple[int, ...], stride: int) -> tuple[Tensor, list[int]]:
    """TensorFlow's SAME: what is missing, the odd pixel at the bottom and right.

    Where it is odd, a row of zeros on top of the kernel takes the place of one less on top of the
    image, which is then padded equally; to write a large map anew with its odd pixels costs more.

    Args:
        kernel: (out, in, k, k).
        sides: height and width of the map.

    Returns:
        The kernel, perhaps with zeros at its top and left, and the padding of every side.
    """
    size = kernel.shape[-1]
    missing = [max(0, (-(-side // stride) - 1) * stride + size - side) for side in sides]
    odd_height, odd_width = (m % 2 for m in missing)
    if odd_height or odd_width:
        kernel = F.pad(kernel, (odd_width, 0, odd_height, 0))
        kernel = kernel.contiguous(memory_format=torch.channels_last)
    return kernel, [-(-m // 2) for m in missing]


def _can_fuse(x: Tensor, kernel: Tensor) -> bool:
    learning = torch.is_grad_enabled() and (x.requires_grad or kernel.requires_grad)
    if x.device.type != "cpu" or learning or torch.is_autocast_enabled("cpu"):
        return False
    return x.dtype == torch.float32 or (x.dtype == torch.bfloat16 and _has_bfloat16())


@cache
def _has_bfloat16() -> bool:
    """Whether oneDNN convolves in bfloat16 on this processor; where not, its operator raises."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@cache
def _fused_convolution() -> Any:
    """``mkldnn::_convolution_pointwise``; ``None`` unless it is there and agrees with torch."""
    return proven("_convolution_pointwise", _convolution_errors)


def _convolution_errors(fused: Any) -> list[Tensor]:
    x = torch.linspace(-9, 9, 3 * 25).view(1, 3, 5, 5)
    weight, bias = torch.linspace(-1, 2, 27).view(3, 1, 3, 3), torch.linspace(0, 1, 3)
    want = F.conv2d(x, weight, bias, 2, 1, groups=3).clamp(0, 6)
    got = fused(x, weight, bias, [1, 1], [2, 2], [1, 1], 3, "hardtanh", [0.0, 6.0], "")
    return [got - want]


def _read_graph(model: Any) -> tuple[list[_Layer], dict[int, tuple[Tensor, Tensor]]]:
    """Layers and weights of a MobileNetV2's features, in the file's order."""
    import tflite

    graph = model.Subgraphs(0)
    kinds = {
        tflite.BuiltinOperator.CONV_2D: "convolution",
        tflite.BuiltinOperator.DEPTHWISE_CONV_2D: "depthwise",
        tflite.BuiltinOperator.ADD: "add",
    }
    layers: list[_Layer] = []
    weights: dict[int, tuple[Tensor, Tensor]] = {}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        if code == tflite.BuiltinOperator.QUANTIZE:
            continue
        if code == tflite.BuiltinOperator.MEAN:  # the classifier begins
            break
        if code not in kinds:
            raise SetupError(f"operation {i} of the teacher is not one of a MobileNetV2's")
        kind, output = kinds[code], operator.Outputs(0)
        inputs = tuple(operator.Inputs(j) for j in range(operator.InputsLength()))
        if kind == "add":
            layers.append(_Layer(kind, inputs, output))
            continue
        kernel = _kernel(model, graph.Tensors(inputs[1]), depthwise=kind == "depthwise")
        weights[output] = (kernel, torch.from_numpy(_dequantise(model, graph.Tensors(inputs[2]))))
        layers.append(
            _Layer(
                kind,
                inputs[:1],
                output,
                stride=_stride(graph, inputs[0], output),
                groups=kernel.shape[0] if kind == "depthwise" else 1,
                # The activation is folded into the output's range: zero is its lowest value.
                relu6=int(graph.Tensors(output).Quantization().ZeroPoint(0)) == _INT8_LOW,
            )
        )
    return layers, weights


def _stride(graph: Any, source: int, output: int) -> int:
    before, after = (int(graph.Tensors(number).Shape(1)) for number in (source, output))
    return -(-before // after)


def _kernel(model: Any, tensor: Any, *, depthwise: bool) -> Tensor:
    """(out, in, k, k); a depthwise kernel is stored as (1, k, k, channels)."""
    kernel = torch.from_numpy(_dequantise(model, tensor))
    return kernel.permute(3, 0, 1, 2) if depthwise else kernel.permute(0, 3, 1, 2)


def _dequantise(model: Any, tensor: Any) -> NDArray[np.float32]:
    """(integer - zero point) x scale, one scale per tensor or per output channel."""
    import tflite

    kind = {tflite.TensorType.INT8: np.int8, tflite.TensorType.INT32: np.int32}[tensor.Type()]
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes()
    values = np.frombuffer(raw, kind).reshape(tensor.ShapeAsNumpy()).astype(np.float64)
    quantisation = tensor.Quantization()
    shape = [1] * values.ndim
    shape[quantisation.QuantizedDimension()] = -1
    scale = np.asarray(quantisation.ScaleAsNumpy(), np.float64).reshape(shape)
    zero = np.asarray(quantisation.ZeroPointAsNumpy(), np.float64).reshape(shape)
    return ((values - zero) * scale).astype(np.float32)
