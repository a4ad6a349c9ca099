"""A personal model at scoring time: features to this person's scores, without peft or BERT.

A closed-form head does without torch, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from aesmamba_sdk.errors import PersonalizeError
from aesmamba_sdk.model.backbone import Backbone
from aesmamba_sdk.model.generic import Array
from aesmamba_sdk.personalize.blend import Vector
from aesmamba_sdk.personalize.folder import (
    PersonalRecord,
    load_adapter,
    load_changes,
    load_record,
    load_text,
)
from aesmamba_sdk.personalize.head import PersonalHead

if TYPE_CHECKING:
    from aesmamba_sdk.personalize.network import PersonalNetwork


class PersonalScorer:
    """One person's model on its backbone.

    Args:
        folder: a version's folder.
        backbone: the shared model it was made with.

    Attributes:
        record: how the model was made and how far it is trusted.

    Raises:
        PersonalizeError: the model is damaged or belongs to another backbone.
    """

    def __init__(self, folder: Path, backbone: Backbone) -> None:
        self.backbone = backbone
        self.record = load_record(folder)
        if self.record.backbone != backbone.hash:
            raise PersonalizeError(
                f"the personal model {folder} was made with another backbone "
                f"({self.record.backbone}, now {backbone.hash}); personalize again",
                code="backbone_changed",
            )
        self.head = PersonalHead.load(folder) if self.record.method == "bayes" else None
        self.network: PersonalNetwork | None = None
        if self.record.method in ("lora", "full"):
            self.network = _network(folder, backbone, self.record)

    @property
    def reencodes(self) -> bool:
        """Whether this person's features differ from the shared ones."""
        return self.network is not None and self.network.encoder is not None

    @cached_property
    def key(self) -> str:
        """What this person's own features are cached under."""
        if self.network is None or self.network.encoder is None:
            return self.backbone.key
        return self.backbone.own_key(self.network.encoder_key(self.backbone.config))

    def __call__(self, images: Sequence[Image.Image], like: Image.Image | None = None) -> Array:
        """This person's f_v of RGB images, all of ``like`` if that is given."""
        if self.network is None or self.network.encoder is None:
            return self.backbone(images, like)
        encoder = self.network.encoder.to(self.backbone.device)
        return self.backbone.encode(images, encoder, like)

    def judge(self, features: Array, generic: Array) -> tuple[Array, Array]:
        """Scores (n,) as by :meth:`unclipped`, and the standard deviation (n,) of this person's
        rating around each."""
        if self.head is not None:
            return self.head.predict(features, generic)
        unknown = np.full(len(generic), self.record.std, np.float32)
        return self.unclipped(features, generic).astype(np.float32), unknown

    def unclipped(self, features: Array, generic: Array) -> Vector:
        """Personal scores (n,), past the ends of the scale as well.

        Args:
            features: this person's f_v, (n, d).
            generic: the backbone's value of the same photos, (n,).
        """
        if self.head is not None:
            return self.head.scores(features, generic)
        record = self.record
        scores = record.affine(generic.astype(np.float64))
        if self.network is not None:
            personal = record.affine(self.network.raw_scores(features))
            scores = scores + record.trust * (personal - scores)
        return scores

    @cached_property
    def reference_values(self) -> Array | None:
        """This person's scores of the reference photos, ascending, past the ends of the scale.

        ``None`` for a model that changes the encoder: the reference photos themselves do not ship.
        """
        reference = self.backbone.reference
        if reference is None or self.reencodes:
            return None
        generic = self.backbone.values(reference)
        return np.sort(self.unclipped(reference, generic)).astype(np.float32)


def _network(folder: Path, backbone: Backbone, record: PersonalRecord) -> PersonalNetwork:
    """A copy of the shared model with the person's adapter or changes in its weights."""
    from aesmamba_sdk.model.pack import pack
    from aesmamba_sdk.personalize.network import PersonalNetwork

    network = PersonalNetwork(backbone.model, *load_text(folder), record.reach)
    if record.method == "full":
        network.shift(load_changes(folder))
    else:
        adapter = load_adapter(folder)
        network.merge(adapter.weights, adapter.scaling)
    if network.encoder is not None:
        pack(network.encoder)
    return network.eval()
