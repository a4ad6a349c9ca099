"""The text encoder: a BERT whose token features the fusion attends to.

``transformers`` is imported only when an encoder is built: scoring a photo alone never pays for it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import CheckpointError

TOKENIZER_FILE = "tokenizer.json"
MAX_TOKENS = 512


@dataclass(frozen=True)
class TextConfig:
    """The numbers of a BERT encoder, named as in ``transformers.BertConfig``.

    ``pooler`` keeps BERT's pooling layer: nothing uses it, but the public AesMamba files hold it.
    """

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    max_position_embeddings: int = MAX_TOKENS
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    pad_token_id: int = 0
    pooler: bool = False

    @classmethod
    def bert_base(cls) -> TextConfig:
        """The paper's size, bert-base-uncased."""
        return cls()

    @classmethod
    def compact(cls) -> TextConfig:
        """A small encoder for the ``nano`` model."""
        return cls(
            vocab_size=3000,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=512,
            max_position_embeddings=256,
        )

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> TextConfig:
        """Read the ``text`` part of a config.json.

        Raises:
            CheckpointError: a field is unknown.
        """
        unknown = sorted(set(record) - {f.name for f in dataclasses.fields(cls)})
        if unknown:
            raise CheckpointError(f"unknown text encoder fields: {', '.join(unknown)}")
        return cls(**record)


class TextEncoder(nn.Module):
    """Words to token features F_t; all tokens are given, padding is masked.

    Args:
        config: the BERT to build, with random weights.
        out_features: width the fusion expects; a linear projection serves only where it differs
            from BERT's own.
    """

    def __init__(self, config: TextConfig, *, out_features: int | None = None) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        numbers = dataclasses.asdict(config)
        pooler = numbers.pop("pooler")
        self.config = config
        self.bert = BertModel(BertConfig(**numbers), add_pooling_layer=pooler)
        width = config.hidden_size
        same = out_features in (None, width)
        self.projection = nn.Identity() if same else nn.Linear(width, out_features or width)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Two (batch, tokens) tensors to (batch, tokens, features)."""
        hidden = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        tokens: Tensor = self.projection(hidden)
        return tokens


class TextTokenizer:
    """A WordPiece tokenizer kept as one ``tokenizer.json``; needs ``tokenizers`` alone."""

    def __init__(self, tokenizer: Any, *, pad_token: str = "[PAD]") -> None:
        pad = tokenizer.token_to_id(pad_token)
        if pad is None:
            raise CheckpointError(f"the tokenizer has no {pad_token} token")
        tokenizer.enable_padding(pad_id=pad, pad_token=pad_token)
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Read ``tokenizer.json`` of a model or BERT folder.

        Raises:
            CheckpointError: the file is missing or not a tokenizer.
        """
        from tokenizers import Tokenizer

        file = folder / TOKENIZER_FILE
        if not file.is_file():
            raise CheckpointError(f"{file} is missing: the model cannot read text without it")
        try:
            return cls(Tokenizer.from_file(str(file)))
        except Exception as error:  # tokenizers raises bare Exception
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{file} is not a tokenizer: {error}") from error

    def save(self, folder: Path) -> None:
        self._tokenizer.save(str(folder / TOKENIZER_FILE))

    def encode(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> tuple[Tensor, Tensor]:
        """Input ids and attention mask, both (len(texts), tokens) int64, padded to the longest."""
        self._tokenizer.enable_truncation(max_tokens)
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([e.ids for e in encoded])
        mask = torch.tensor([e.attention_mask for e in encoded])
        return ids, mask
