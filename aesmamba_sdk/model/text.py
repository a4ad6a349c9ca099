"""The text encoder: a BERT whose token features the fusion attends to.

``transformers`` is imported only when an encoder is built: scoring a photo alone never pays for it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import MAX_TOKENS, TextConfig
from aesmamba_sdk.model.vocabulary import VOCABULARY_FILE

TOKENIZER_FILE = "tokenizer.json"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_WORD_LIST = "vocab.txt"


_BERT_NUMBERS = tuple(f.name for f in dataclasses.fields(TextConfig) if f.name != "pooler")


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

    @classmethod
    def from_bert(cls, source: str | Path, *, out_features: int | None = None) -> TextEncoder:
        """An encoder with the weights of any BERT of ``transformers``, its pooling layer left out.

        Args:
            source: a folder of a BertModel, or a name on the hub, such as ``bert-base-uncased``,
                which is downloaded.
            out_features: as for the constructor.

        Raises:
            CheckpointError: there is no BERT.
        """
        from transformers import BertModel

        try:
            bert = BertModel.from_pretrained(str(source), add_pooling_layer=False)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"no BERT in {source}: {error}") from error
        shared: dict[str, Any] = {name: getattr(bert.config, name) for name in _BERT_NUMBERS}
        encoder = cls(TextConfig(**shared), out_features=out_features)
        encoder.bert.load_state_dict(bert.state_dict())
        return encoder.eval()

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
    def compact(cls) -> TextTokenizer:
        """The small vocabulary of ``TextConfig.compact``; it knows every ASCII character."""
        return cls(_read_tokenizer(VOCABULARY_FILE))

    @classmethod
    def load(cls, folder: Path) -> TextTokenizer:
        """Read a model folder or any BERT folder: ``tokenizer.json``, else ``vocab.txt``.

        Beside a ``vocab.txt``, ``tokenizer_config.json`` says whether case is kept; without it
        words are lowercased.

        Raises:
            CheckpointError: both files are missing, or a file is not a tokenizer's.
        """
        file = folder / TOKENIZER_FILE
        if file.is_file():
            return cls(_read_tokenizer(file))
        if (folder / _WORD_LIST).is_file():
            return cls(_read_word_list(folder))
        raise CheckpointError(
            f"{file} is missing, and so is {_WORD_LIST}: the model cannot read text without one"
        )

    @property
    def vocab_size(self) -> int:
        """Number of tokens; ids are below it."""
        return int(self._tokenizer.get_vocab_size())

    def save(self, folder: Path) -> None:
        """Write ``tokenizer.json``."""
        self._tokenizer.save(str(folder / TOKENIZER_FILE))

    def encode(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> tuple[Tensor, Tensor]:
        """Input ids and attention mask, both (len(texts), tokens) int64, padded to the longest."""
        self._tokenizer.enable_truncation(max_tokens)
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = torch.tensor([e.ids for e in encoded])
        mask = torch.tensor([e.attention_mask for e in encoded])
        return ids, mask


def bert_tokenizer(
    tokens: Mapping[str, int],
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    split_chinese: bool = True,
) -> Any:
    """A ``tokenizers.Tokenizer`` that reads text as BERT does.

    Args:
        tokens: token to id, with all of ``SPECIAL_TOKENS``.
        lowercase: False keeps case.
        strip_accents: None follows ``lowercase``.
        split_chinese: make every Chinese character a word.

    Raises:
        CheckpointError: a special token is missing.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    missing = [token for token in SPECIAL_TOKENS if token not in tokens]
    if missing:
        raise CheckpointError(f"the vocabulary has no {', '.join(missing)}: it is not a BERT's")
    tokenizer = Tokenizer(models.WordPiece(dict(tokens), unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=lowercase, strip_accents=strip_accents, handle_chinese_chars=split_chinese
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokens[token]) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _read_tokenizer(file: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(f"{file} is not a tokenizer: {error}") from error


def _read_word_list(folder: Path) -> Any:
    file, config_file = folder / _WORD_LIST, folder / "tokenizer_config.json"
    try:
        with file.open(encoding="utf-8") as lines:
            tokens = {line.rstrip("\n"): i for i, line in enumerate(lines)}
        config = json.loads(config_file.read_text("utf-8")) if config_file.is_file() else {}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is not a BERT folder: {error}") from error
    try:
        return bert_tokenizer(
            tokens,
            lowercase=config.get("do_lower_case", True),
            strip_accents=config.get("strip_accents"),
            split_chinese=config.get("tokenize_chinese_chars", True),
        )
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error
