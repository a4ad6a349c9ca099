"""How a person's taste can be learned: the methods by name, and who reads which."""

from __future__ import annotations

from typing import Literal, get_args

Method = Literal["auto", "affine", "bayes", "lora", "lora-stage", "lora-all", "full"]
METHODS: tuple[Method, ...] = get_args(Method)
"""``auto``: the closed-form head, blended with ``affine`` by the evidence of held-out ratings.

``affine``: the generic score on the person's scale. ``bayes``: the closed-form head alone.
``lora``: adapters on fusion and head, trained by peft; ``lora-stage`` and ``lora-all`` also reach
into the encoder's last stage, or all of it, and encode every photo anew. ``full``: every weight
of the model trained as in the paper, for a GPU; encodes every photo anew.
"""

SEEDS = 2**32
"""So many there are: from 0, as all that draws by them takes."""

Reach = Literal["heads", "stage", "all"]
REACHES: tuple[Reach, ...] = get_args(Reach)
REACH_OF: dict[Method, Reach] = {
    "lora": "heads",
    "lora-stage": "stage",
    "lora-all": "all",
    "full": "all",
}
"""The methods that train a network for each person."""
