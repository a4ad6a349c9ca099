"""AesMamba-V, -F, -M and -P as one composition (Fig. 2-3).

encoder → pooled f_v → fusion with text, where there is text → adaptation heads. The variants
differ in their :class:`AesMambaConfig` alone. Training and files are other modules' business.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from aesmamba_sdk.errors import CheckpointError
from aesmamba_sdk.model.config import AesMambaConfig, EncoderConfig, VMambaConfig
from aesmamba_sdk.model.fusion import CrossModalFusion
from aesmamba_sdk.model.heads import AttributePredictions, MultitaskBalancedAdaptation
from aesmamba_sdk.model.text import TextEncoder, TextTokenizer
from aesmamba_sdk.model.transformers_image import TransformersImage
from aesmamba_sdk.model.vmamba import VMamba

ImageEncoder = VMamba | TransformersImage
"""(batch, 3, H, W) to tokens (batch, h, w, d), whose mean is f_v."""


def build_encoder(config: EncoderConfig) -> ImageEncoder:
    """The image encoder of a configuration, with random weights."""
    return VMamba(config) if isinstance(config, VMambaConfig) else TransformersImage(config)


class AesMamba(nn.Module):
    """The whole model.

    Args:
        config: what to build; weights start random.
        tokenizer: of the text encoder; needed to turn words into ids, not by the network.
        with_text: build the text encoder where the configuration has one. Without it the model
            scores photos, and fuses text features computed elsewhere, at a fraction of the
            start-up time.
    """

    def __init__(
        self,
        config: AesMambaConfig,
        *,
        tokenizer: TextTokenizer | None = None,
        with_text: bool = True,
    ) -> None:
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        features = config.encoder.features
        self.encoder = build_encoder(config.encoder)
        self.text: TextEncoder | None = None
        self.fusion: CrossModalFusion | None = None
        if config.text is not None:
            self.fusion = CrossModalFusion(features, config.fusion_heads)
            if with_text:
                self.text = TextEncoder(config.text, out_features=features)
        self.heads = MultitaskBalancedAdaptation(
            features,
            config.attributes,
            hidden=config.head_hidden,
            bins=config.bins,
            scale_classes=config.scale_classes,
            scale=config.scale,
            deviations=config.head_inputs - features,
        )

    def embed(self, images: Tensor) -> Tensor:
        """What the heads read of photos: f_v, the pooled feature, and deviations if they are to.

        Args:
            images: (batch, 3, H, W), normalised.

        Returns:
            (batch, ``config.head_inputs``), in the images' type.
        """
        described = self.encoder.describe(images)  # float32 of a model in half precision, too
        return described[:, : self.config.head_inputs].to(images.dtype)

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """F_t, the text's token features: two (batch, tokens) tensors to (batch, tokens, d).

        Raises:
            CheckpointError: the model has no text encoder.
        """
        if self.text is None:
            raise CheckpointError(
                f"model {self.config.name!r} was built without a text encoder and cannot read text",
                code="no_text_encoder",
            )
        tokens: Tensor = self.text(input_ids, attention_mask)
        return tokens

    def integrate(
        self, f_v: Tensor, text: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """f, chosen by the input: f_v itself for a photo alone, the fusion where there is text."""
        if text is None:
            return f_v
        if self.fusion is None:
            raise CheckpointError(
                f"model {self.config.name!r} has no fusion and cannot use text", code="no_fusion"
            )
        fused: Tensor = self.fusion(f_v, text, mask)
        return fused

    def forward(
        self,
        images: Tensor,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
    ) -> AttributePredictions:
        """Score photos, with text or without.

        Args:
            images: (batch, 3, H, W), normalised.
            input_ids: (batch, tokens) of a caption (M) or a person's prompt (P), or ``None``.
            attention_mask: (batch, tokens), non-zero where a token is real.
        """
        text = None
        if input_ids is not None:
            if attention_mask is None:
                raise ValueError("input_ids need their attention_mask")
            text = self.read(input_ids, attention_mask)
        predictions: AttributePredictions = self.heads(
            self.integrate(self.embed(images), text, attention_mask)
        )
        return predictions

    # Not by inheritance: the hub's library brings an HTTP client along, at a tenth of a cold start.

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> None:
        """Write a model folder; as ``huggingface_hub.ModelHubMixin`` has it, as are those below."""
        from aesmamba_sdk.model.hub import HubModel

        HubModel(self).save_pretrained(save_directory, **options)

    def push_to_hub(self, repo_id: str, **options: Any) -> str:
        """Upload a model folder; returns the address of the commit."""
        from aesmamba_sdk.model.hub import HubModel

        return str(HubModel(self).push_to_hub(repo_id, **options))

    @staticmethod
    def from_pretrained(name: str | Path, **options: Any) -> AesMamba:
        """The model of a folder, or of a name on the hub."""
        from aesmamba_sdk.model.hub import HubModel

        return HubModel.from_pretrained(name, **options).model
