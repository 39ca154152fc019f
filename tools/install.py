"""Install what pip would, through uv, which fetches and unpacks side by side: python tools/install.py WHAT…

uv reads no settings of pip, so it is told pip's: indexes, links and certificates. Where uv cannot be had or refuses,
pip does it.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

UV_NAMES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS",
            "cert": "SSL_CERT_FILE"}  # fmt: skip
CONSTRAINED = ("--constraint", "constraints.txt")


def main() -> int:
    """Install the arguments under constraints.txt into this Python's environment."""
    print(f"installing {' '.join(sys.argv[1:])} …", flush=True)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", *CONSTRAINED)
    fetched = subprocess.run([*pip, "uv"], check=False).returncode == 0
    if fetched and subprocess.run([*_uv(), *sys.argv[1:]], env=os.environ | _settings(), check=False).returncode == 0:
        return 0
    print("uv could not install it; pip goes on", file=sys.stderr)
    return subprocess.run([*pip, *sys.argv[1:]], check=False).returncode


def _uv() -> list[str]:
    # pip looks in all indexes and takes the best version; uv by itself stops at the first index that has the name
    return [sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, "--quiet", "--compile-bytecode",
            "--index-strategy", "unsafe-best-match", *CONSTRAINED]  # fmt: skip


def _settings() -> dict[str, str]:
    """Environment variables of uv that say what pip's files and variables say."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    found = {}
    for line in subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines():
        key, _, value = line.partition("=")
        name = UV_NAMES.get(key.rpartition(".")[2])
        if name:
            places = ast.literal_eval(value).split()
            found[name] = (",".join if name == "UV_FIND_LINKS" else " ".join)(places)
    return found


if __name__ == "__main__":
    sys.exit(main())
