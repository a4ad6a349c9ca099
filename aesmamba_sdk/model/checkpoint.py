"""Import of public VMamba weights in their three key layouts, strict about every key.

``gen0``: the vanilla release. ``gen1``: the current family's releases. ``gen2``: what today's
single-file code saves. The only weights allowed to stay behind are the classifier's.
"""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import VMambaConfig
from aesmamba_sdk.model.vmamba import VMamba

_STAGE = re.compile(r"layers\.(\d+)\.")
_CLASSIFIER = re.compile(r"(classifier\.)?head\.(weight|bias)")

# Public name (regular expression) to ours, of all layouts together: no name has two meanings.
_OUTSIDE_SS2D = [
    (r"patch_embed\.(proj|norm)\.(\w+)", r"stem.\1.\2"),
    (r"patch_embed\.0\.(\w+)", r"stem.conv1.\1"),
    (r"patch_embed\.2\.(\w+)", r"stem.norm1.\1"),
    (r"patch_embed\.5\.(\w+)", r"stem.conv2.\1"),
    (r"patch_embed\.7\.(\w+)", r"stem.norm2.\1"),
    (r"layers\.(\d+)\.blocks\.(\d+)\.(?:ln_1|norm)\.(\w+)", r"stages.\1.\2.norm.\3"),
    (r"layers\.(\d+)\.blocks\.(\d+)\.norm2\.(\w+)", r"stages.\1.\2.norm2.\3"),
    (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc1\.(\w+)", r"stages.\1.\2.mlp.0.\3"),
    (r"layers\.(\d+)\.blocks\.(\d+)\.mlp\.fc2\.(\w+)", r"stages.\1.\2.mlp.2.\3"),
    (r"layers\.(\d+)\.downsample\.reduction\.weight", r"downsamples.\1.reduction.weight"),
    (r"layers\.(\d+)\.downsample\.1\.(\w+)", r"downsamples.\1.conv.\2"),
    (r"layers\.(\d+)\.downsample\.(?:norm|3)\.(\w+)", r"downsamples.\1.norm.\2"),
    (r"(?:classifier\.)?norm\.(\w+)", r"norm.\1"),
]
_SS2D = [
    (r"conv2d\.(\w+)", r"conv.\1"),
    (r"(in_proj|out_norm|out_proj)\.(\w+)", r"\1.\2"),
    (r"x_proj(?:_weight|\.weight)", "x_proj_weight"),
    (r"dt_projs(?:_weight|\.weight)", "dt_proj_weight"),
    ("dt_projs_bias", "dt_proj_bias"),
    ("A_logs", "A_log"),
    ("Ds", "D"),
]


def load_public_vmamba(file: Path) -> VMamba:
    """Build the image encoder a public VMamba file holds.

    Args:
        file: a state dict, or a training file that wraps one under ``model``.

    Raises:
        CheckpointError: the file holds more than tensors, is of no known layout, or a key or
            shape in it is not accounted for.
    """
    return vmamba_from_state(read_state_dict(file), source=str(file))


def vmamba_from_state(state: dict[str, Tensor], *, source: str = "the state dict") -> VMamba:
    """Build the encoder of a public VMamba state dict, whatever its layout."""
    state = {k: v for k, v in state.items() if not _CLASSIFIER.fullmatch(k)}
    config = identify(state, source)
    model = VMamba(config)
    own = model.state_dict()
    converted: dict[str, Tensor] = {}
    for public, value in state.items():
        name = _rename(public)
        if name is None or name not in own:
            raise CheckpointError(f"{source}: unknown key {public}", code="unknown_key")
        if value.numel() != own[name].numel():
            raise CheckpointError(
                f"{source}: {public} is {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            )
        converted[name] = value.reshape(own[name].shape)
    missing = sorted(set(own) - set(converted))
    if missing:
        raise CheckpointError(f"{source}: no weights for {', '.join(missing[:5])}")
    model.load_state_dict(converted)
    return model.eval()


def identify(state: dict[str, Tensor], source: str) -> VMambaConfig:
    """Read depths, widths and variant off the keys and shapes.

    Raises:
        CheckpointError: the first block looks like no known layout.
    """
    vanilla = "layers.0.blocks.0.ln_1.weight" in state
    block = "layers.{}.blocks.0." + ("self_attention." if vanilla else "op.")
    if block.format(0) + "A_logs" not in state:
        raise CheckpointError(
            f"{source} is not a VMamba state dict: no {block.format(0)}A_logs. "
            "Public VMamba files start with patch_embed and layers.0.",
            code="unknown_layout",
        )
    stages = 1 + max(int(found[1]) for found in map(_STAGE.match, state) if found)
    depths = tuple(
        len({k.split(".")[3] for k in state if k.startswith(f"layers.{i}.blocks.")})
        for i in range(stages)
    )
    try:
        dims = tuple(state[block.format(i) + "out_proj.weight"].shape[0] for i in range(stages))
        inner = state[block.format(0) + "out_norm.weight"].shape[0]
        in_rows = state[block.format(0) + "in_proj.weight"].shape[0]
        d_state = state[block.format(0) + "A_logs"].shape[1]
    except KeyError as error:
        raise CheckpointError(f"{source}: {error.args[0]} is missing") from error
    except IndexError as error:  # e.g. the one decay a head of the scans of Mamba-2
        raise CheckpointError(
            f"{source}: A_logs or a weight of {block.format(0)} has too few dimensions: "
            "only the scans of Mamba-1 can be imported"
        ) from error
    mlp = state.get("layers.0.blocks.0.mlp.fc1.weight")
    return VMambaConfig(
        depths=depths,
        dims=dims,
        d_state=d_state,
        ssm_ratio=inner / dims[0],
        mlp_ratio=0.0 if mlp is None else mlp.shape[0] / dims[0],
        gated=in_rows == 2 * inner,
        conv_bias=block.format(0) + "conv2d.bias" in state,
        stem="patch" if vanilla else "conv",
        downsample="merge" if vanilla else "conv",
    )


def _rename(public: str) -> str | None:
    """Our name of a public key; ``None`` when it is not known."""
    block = re.fullmatch(r"layers\.(\d+)\.blocks\.(\d+)\.(?:op|self_attention)\.(.+)", public)
    if block:
        for pattern, own in _SS2D:
            match = re.fullmatch(pattern, block[3])
            if match:
                return f"stages.{block[1]}.{block[2]}.ss2d.{match.expand(own)}"
        return None
    for pattern, own in _OUTSIDE_SS2D:
        match = re.fullmatch(pattern, public)
        if match:
            return match.expand(own)
    return None


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """The tensors of a public file; nothing else in it is ever executed.

    Raises:
        CheckpointError: the file is missing, broken or holds more than tensors.
    """
    _check_container(file)
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors (a training file with its configuration?), and "
            "loading it could run code. If you trust its origin, cut the weights out first: "
            "python -c \"import torch; torch.save({'model': "
            "torch.load('IN.pth', weights_only=False)['model']}, 'OUT.pth')\"",
            code="unsafe_file",
        ) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"{file} is not a torch file: {error}") from error
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise CheckpointError(f"{file} holds no state dict, at the top or under 'model'")
    return state


def _check_container(file: Path) -> None:
    """Tell what is no torch file at all from one that holds too much; torch does not."""
    try:
        with file.open("rb") as stream:
            start = stream.read(2)
    except OSError as error:
        problem = "does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise CheckpointError(f"{file} {problem or 'cannot be read'}") from error
    if start not in (b"PK", b"\x80\x02"):  # a zip archive, or the pickles of torch before 1.6
        raise CheckpointError(f"{file} is not a torch file")
