"""A public weight file to a model folder in a person's home, known by a name from then on."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.aesmamba import AesMamba
from aesmamba_sdk.model.checkpoint import read_state_dict, vmamba_from_state
from aesmamba_sdk.model.config import AesMambaConfig
from aesmamba_sdk.model.folder import save_model
from aesmamba_sdk.model.public_aesmamba import aesmamba_from_state
from aesmamba_sdk.model.text import TextTokenizer
from aesmamba_sdk.paths import ensure_private, models_folder
from aesmamba_sdk.scores import Scale

_NAME = re.compile(r"\w[\w.-]*")
_AESMAMBA_KEY = re.compile(r"(module\.)?(img_model|img_feature)\.")


def import_model(
    file: Path,
    name: str,
    home: Path,
    *,
    scale: Scale | None = None,
    tokenizer: Path | None = None,
) -> Path:
    """Convert a public VMamba or AesMamba file, which of the two is seen from its keys.

    A VMamba release becomes an image encoder without heads: something to train from, not to
    score with.

    Args:
        file: a torch file of tensors.
        name: what the model is to be called.
        home: below which models are kept.
        scale: range of an AesMamba's labels; see ``load_public_aesmamba``.
        tokenizer: BERT folder whose words an AesMamba-M or -P was trained with.

    Returns:
        The new model folder.

    Raises:
        CheckpointError: the name is taken or invalid, or the file is of no known layout or has a
            key that is not accounted for, or the tokenizer is another BERT's.
    """
    target = models_folder(home) / name
    if not _NAME.fullmatch(name):
        raise CheckpointError(f"{name!r} cannot name a model: use letters, digits, '-', '_', '.'")
    if target.exists():
        raise CheckpointError(
            f"a model {name!r} exists already; choose another name, or delete {target}",
            code="model_exists",
        )
    state = {k.removeprefix("module."): v for k, v in read_state_dict(file).items()}
    if any(_AESMAMBA_KEY.match(key) for key in state):
        model = aesmamba_from_state(state, name=name, scale=scale, source=str(file))
    else:
        encoder = vmamba_from_state(state, source=str(file))
        terms = "see the release of the imported file"
        model = AesMamba(
            AesMambaConfig(name=name, encoder=encoder.config, attributes=(), license=terms)
        )
        model.encoder.load_state_dict(encoder.state_dict())
    if tokenizer is not None:
        model.tokenizer = _words(tokenizer, model.config, file)
    ensure_private(target.parent)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        save_model(model, partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _words(folder: Path, config: AesMambaConfig, file: Path) -> TextTokenizer:
    """A tokenizer whose words are those that the text encoder knows, by their number."""
    tokenizer = TextTokenizer.load(folder)
    known = None if config.text is None else config.text.vocab_size
    if known not in (None, tokenizer.vocab_size):
        raise CheckpointError(
            f"{file} was trained with {known} words, and {folder} has {tokenizer.vocab_size}: name "
            "the BERT it was trained with (bert-base-uncased has 30522, bert-base-cased 28996)"
        )
    return tokenizer
