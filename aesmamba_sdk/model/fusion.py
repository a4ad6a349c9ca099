"""Modal-adaptive integration: what joins the photo with text, where there is text (Fig. 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossModalFusion(nn.Module):
    """The photo's feature asks, the text's tokens answer: one pre-norm transformer layer.

    f1 = f_v + CrossAttention(LN(f_v), LN(F_t)) and f = f1 + FFN(LN(f1)) (Eq. 2-3). Both output
    projections start at zero, so a model that has learned nothing from text ignores it.

    Args:
        features: width d of f_v and of the text tokens.
        heads: attention heads; d must be a multiple.
    """

    def __init__(self, features: int, heads: int = 12) -> None:
        super().__init__()
        if features % heads:
            raise ValueError(f"{features} features cannot be split over {heads} heads")
        self.heads = heads
        self.norm_image = nn.LayerNorm(features)
        self.norm_text = nn.LayerNorm(features)
        self.to_q = nn.Linear(features, features, bias=False)
        self.to_kv = nn.Linear(features, 2 * features, bias=False)
        self.to_out = nn.Linear(features, features)
        self.norm_ffn = nn.LayerNorm(features)
        self.fc1 = nn.Linear(features, 4 * features)
        self.fc2 = nn.Linear(4 * features, features)
        for layer in (self.to_q, self.to_kv, self.fc1):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        for layer in (self.to_out, self.fc2):
            nn.init.zeros_(layer.weight)
        for layer in (self.to_out, self.fc1, self.fc2):
            nn.init.zeros_(layer.bias)

    def forward(self, image: Tensor, text: Tensor, mask: Tensor | None = None) -> Tensor:
        """Fuse pooled photo features with text tokens.

        Args:
            image: (batch, d) f_v; what lies behind it, if anything, passes by.
            text: (batch or 1, tokens, d) F_t.
            mask: (batch or 1, tokens), non-zero where a token is real. The public code lets
                padding take part; here it never does.

        Returns:
            f, as wide as ``image``.
        """
        f_v, beside = image.tensor_split([self.to_q.in_features], 1)
        f = f_v + self._attend(self.norm_image(f_v), self.norm_text(text), mask)
        f = f + self.fc2(F.gelu(self.fc1(self.norm_ffn(f))))
        return torch.cat([f, beside], 1) if beside.shape[1] else f

    def _attend(self, image: Tensor, text: Tensor, mask: Tensor | None) -> Tensor:
        batch, tokens = len(image), text.shape[1]
        q = self.to_q(image).view(batch, 1, self.heads, -1).transpose(1, 2)  # (B, h, 1, d/h)
        k, v = self.to_kv(text).view(len(text), tokens, 2, self.heads, -1).unbind(2)
        k, v = (t.transpose(1, 2).expand(batch, -1, -1, -1) for t in (k, v))  # (B, h, T, d/h)
        keep = None if mask is None else mask.bool()[:, None, None, :].expand(batch, 1, 1, tokens)
        answer = F.scaled_dot_product_attention(q, k, v, attn_mask=keep)  # (B, h, 1, d/h)
        out: Tensor = self.to_out(answer.transpose(1, 2).flatten(1))
        return out
