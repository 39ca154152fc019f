"""The split against scikit-learn's StratifiedGroupKFold: python benchmarks/split.py [instances] [million]."""

from __future__ import annotations

import argparse
from pathlib import Path

PARTS = ("instances", "million")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all of them where none is named"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where the JSON goes")
    parser.add_argument("--instances", type=int, default=500, help="how many random instances")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in arguments.parts or PARTS:
        if part == "instances":
            from split_instances import run

            run(arguments.instances).write(arguments.out)
        else:
            from split_million import run as run_million

            run_million().write(arguments.out)


if __name__ == "__main__":
    main()
