"""Learn a taste and rank an album by it: python examples/personal_taste.py rated/ratings.csv album

The ratings table has the columns file and score (1-5). Everything is kept in a temporary home.
"""

from __future__ import annotations

import sys
import tempfile

from aesmamba_sdk import AesMamba


def main(ratings: str, album: str) -> None:
    with tempfile.TemporaryDirectory() as home, AesMamba(home=home) as sdk:
        sdk.users.add("alice", openness=4, photo_experience="proficient")
        report = sdk.personalize("alice", ratings)
        print(f"learned from {report.shots} ratings in {report.seconds} s by {report.method}")
        for score in sdk.rank(album, user="alice", top=10):
            if score.value is not None and score.generic is not None:
                change = score.value - score.generic
                print(f"{score.value:.2f} ({change:+.2f} against everyone)  {score.path}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
