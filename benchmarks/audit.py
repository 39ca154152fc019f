"""The audit against its rivals, on real images: python benchmarks/audit.py [labels] [duplicates] [files]."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness import REAL_DATA

PARTS = ("labels", "duplicates", "files")
SETS = ("clothing", "magnetic-tile", "elpv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all of them where none is named"
    )
    parser.add_argument("--data", type=Path, default=REAL_DATA, help="the folder that holds clothing and magnetic-tile")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where the JSON goes")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS, metavar="set",
                        help=f"for labels: of {', '.join(SETS)}")  # fmt: skip
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.parts) - set(PARTS)):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    for part in arguments.parts or PARTS:
        if part == "labels":
            from label_noise import begin
            from label_noise import run as run_labels

            result = begin(arguments.sets)
            try:
                run_labels(result, arguments.data, arguments.sets)
            finally:
                result.write(arguments.out)
        elif part == "duplicates":
            from image_copies import run as run_copies

            run_copies(arguments.data).write(arguments.out)
        else:
            from file_checks import run as run_files

            run_files(arguments.data).write(arguments.out)


if __name__ == "__main__":
    main()
