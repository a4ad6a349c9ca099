"""Model folders: config.json, safetensors and, with a text encoder, tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.text import TextEncoder, TextTokenizer
from aesmamba_sdk.model.weights import CONFIG_FILE, TEXT_PREFIX, read_config, weight_files

SHARD_SIZE = "60MB"


def save_model(model: AesMamba, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write a model folder; weights above 60 MB are cut into shards with an index.

    Args:
        dtype: to store the weights in, e.g. ``torch.float16`` at half the size; they are float32
            again once loaded.
    """
    from huggingface_hub import save_torch_state_dict  # with an HTTP client, as below

    folder.mkdir(parents=True, exist_ok=True)
    state = model.state_dict()
    if dtype is not None:  # counts stay whole numbers
        state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()}
    save_torch_state_dict(state, folder, max_shard_size=SHARD_SIZE)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # safetensors writes files that only their owner may read
    if model.tokenizer is not None:
        model.tokenizer.save(folder)
    text = json.dumps(model.config.to_dict(), indent=2) + "\n"
    (folder / CONFIG_FILE).write_text(text, encoding="utf-8")


def load_model(folder: Path, *, with_text: bool = True) -> AesMamba:
    """Read a model folder, strictly: every weight in it is used and none is left random.

    Args:
        folder: what :func:`save_model` wrote.
        with_text: also build the text encoder, where there is one.

    Raises:
        CheckpointError: a file is missing, broken or does not fit the configuration.
    """
    config = read_config(folder)
    wants_text = with_text and config.text is not None
    has_tokenizer = (folder / "tokenizer.json").is_file()
    tokenizer = TextTokenizer.load(folder) if wants_text and has_tokenizer else None
    model = AesMamba(config, tokenizer=tokenizer, with_text=with_text)
    state = read_weights(folder)
    if not with_text:
        state = {k: v for k, v in state.items() if not k.startswith(TEXT_PREFIX)}
    load_strictly(model, state, str(folder))
    return model.eval()


def load_text_encoder(folder: Path) -> tuple[TextEncoder, TextTokenizer]:
    """The part of a model folder that reads text, without the rest.

    Raises:
        CheckpointError: the model has none, or a file is missing, broken or does not fit.
    """
    config = read_config(folder)
    if config.text is None:
        raise CheckpointError(f"model {config.name!r} cannot read text", code="no_text_encoder")
    encoder = TextEncoder(config.text, out_features=config.encoder.features)
    state = {
        name.removeprefix(TEXT_PREFIX): value
        for name, value in read_weights(folder).items()
        if name.startswith(TEXT_PREFIX)
    }
    load_strictly(encoder, state, f"the text encoder of {folder}")
    return encoder.eval(), TextTokenizer.load(folder)


def load_strictly(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load ``state``; a missing, unexpected or misshapen weight is an error that names it."""
    own = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in state.items()}
    problems = [f"missing {name}" for name in own if name not in given]
    problems += [f"unexpected {name}" for name in given if name not in own]
    problems += [
        f"{name} is {given[name]}, not {shape}"
        for name, shape in own.items()
        if name in given and given[name] != shape
    ]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise CheckpointError(
            f"{source} does not fit its configuration: {'; '.join(problems[:5])}{more}"
        )
    model.load_state_dict(state)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder, from one file or from the shards its index names.

    Raises:
        CheckpointError: a file is missing or broken.
    """
    state: dict[str, Tensor] = {}
    for file in weight_files(folder):
        try:
            state |= load_file(file)
        except SafetensorError as error:
            raise CheckpointError(f"{file} is not a safetensors file: {error}") from error
    return state


def download_model(name: str, **options: Any) -> Path:
    """Fetch a model folder from the Hugging Face hub; ``options`` as for ``snapshot_download``."""
    from huggingface_hub import snapshot_download

    known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
    return Path(snapshot_download(name, **{k: v for k, v in options.items() if k in known}))
