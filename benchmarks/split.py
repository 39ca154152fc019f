"""The split against scikit-learn's StratifiedGroupKFold, and as a set grows.

python benchmarks/split.py [instances] [million] [growth]
"""

from __future__ import annotations

from harness import parser

PARTS = ("instances", "million", "growth")


def main() -> None:
    line = parser(__doc__, PARTS)
    line.add_argument("--instances", type=int, default=500, help="how many random instances")
    arguments = line.parse_args()
    for part in arguments.parts:
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
