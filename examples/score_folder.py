"""Score a folder and print the best photos: python examples/score_folder.py ~/Pictures/trip"""

from __future__ import annotations

import sys

from aesmamba_sdk import AesMamba


def main(folder: str) -> None:
    with AesMamba() as sdk:
        for score in sdk.rank(folder, top=10):
            if score.error is not None:
                print(f"skipped: {score.error.message}", file=sys.stderr)
            else:
                print(f"{score.value:.2f} of {score.scale.high:g}  {score.path}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
