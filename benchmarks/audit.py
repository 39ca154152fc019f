"""The audit against its rivals, on real images: python benchmarks/audit.py [labels] [duplicates] [files]."""

from __future__ import annotations

from harness import parser

PARTS = ("labels", "duplicates", "files")
SETS = ("clothing", "magnetic-tile", "elpv")


def main() -> None:
    line = parser(__doc__, PARTS)
    line.add_argument("--sets", nargs="+", choices=SETS, default=SETS, metavar="set",
                      help=f"for labels: of {', '.join(SETS)}")  # fmt: skip
    arguments = line.parse_args()
    for part in arguments.parts:
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
