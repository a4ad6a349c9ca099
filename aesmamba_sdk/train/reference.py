"""Writes anew what is kept of the photos that percentiles are ranks among.

    python -m aesmamba_sdk.train.reference --data para=FOLDER --model pretrained/nano

For models whose folder was written before encoders described photos as they do now. The photos must
be such as no weight was trained on.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from aesmamba_sdk.model.backbone import save_reference
from aesmamba_sdk.model.folder import load_model
from aesmamba_sdk.train.data import named_folder
from aesmamba_sdk.train.datasets import read_dataset
from aesmamba_sdk.train.views import describe


def main(arguments: Sequence[str] | None = None) -> None:
    """Write ``reference.safetensors`` into a model's folder."""
    parser = argparse.ArgumentParser(prog="aesmamba_sdk.train.reference", description=__doc__)
    parser.add_argument("--data", default="para", help="NAME=FOLDER, or NAME in AESMAMBA_DATA")
    parser.add_argument("--split", default="test")
    parser.add_argument("--model", type=Path, default=Path("pretrained/nano"))
    chosen = parser.parse_args(arguments)
    name, folder = named_folder(chosen.data)
    model = load_model(chosen.model, with_text=False)
    size = model.config.image_size
    with tempfile.TemporaryDirectory() as cache:
        photos = read_dataset(name, folder, split=chosen.split).photo_set(Path(cache), size)
        save_reference(chosen.model, describe(model, photos, size))


if __name__ == "__main__":
    main()
