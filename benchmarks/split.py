"""The split against scikit-learn's StratifiedGroupKFold, and as a set grows.

python benchmarks/split.py [instances] [million] [growth]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import REAL_DATA

PARTS = ("instances", "million", "growth")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all of them where none is named"
    )
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="for growth: holds clothing and magnetic-tile")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where the JSON goes")
    parser.add_argument("--instances", type=int, default=500, help="how many random instances")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in arguments.parts or PARTS:
        if part == "instances":
            from split_instances import run as run_instances

            result = run_instances(arguments.instances)
        elif part == "million":
            from split_million import run as run_million

            result = run_million()
        else:
            from growth import run as run_growth

            result = run_growth(arguments.data)
        result.write(arguments.out)


if __name__ == "__main__":
    main()
