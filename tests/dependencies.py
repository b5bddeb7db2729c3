"""What is known against the packages that are installed: ``python tests/dependencies.py``, without any network.

It asks pip whether all of them fit together, and compares versions with a list of advisories that concern what this
project uses. The list is as old as its date; where there is a network, ``pip-audit`` asks for newer ones.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
AS_OF = "2025-12"
"""Month in which the list was written; nothing that became known since stands in it."""


@dataclass(frozen=True)
class Advisory:
    """A weakness that is mended from a version on."""

    package: str
    fixed_in: str
    number: str
    what: str


ADVISORIES = (
    Advisory("aiohttp", "3.12.14", "CVE-2025-53643", "request smuggling"),
    Advisory("certifi", "2024.7.4", "CVE-2024-39689", "distrusted root certificates"),
    Advisory("filelock", "3.20.1", "CVE-2025-68146", "symbolic link race when a lock is made"),
    Advisory("gradio", "5.31.0", "CVE-2025-48889", "files copied by flagging"),
    Advisory("h11", "0.16.0", "CVE-2025-43859", "request smuggling"),
    Advisory("idna", "3.7", "CVE-2024-3651", "long run time for crafted names"),
    Advisory("jinja2", "3.1.6", "CVE-2025-27516", "sandbox breakout"),
    Advisory("pillow", "11.3.0", "CVE-2025-48379", "buffer overflow"),
    Advisory("protobuf", "5.29.5", "CVE-2025-4565", "unbounded recursion"),
    Advisory("pyarrow", "14.0.1", "CVE-2023-47248", "code from a crafted file"),
    Advisory("python-multipart", "0.0.18", "CVE-2024-53981", "long run time for crafted forms"),
    Advisory("ray", "2.52.0", "CVE-2025-62593", "code from a web page through the dashboard"),
    Advisory("requests", "2.32.4", "CVE-2024-47081", "credentials sent to another host"),
    Advisory("starlette", "0.49.1", "CVE-2025-62727", "long run time for crafted ranges"),
    Advisory("torch", "2.6.0", "CVE-2025-32434", "code from a checkpoint that is no safetensors"),
    Advisory("tqdm", "4.66.3", "CVE-2024-34062", "code from arguments"),
    Advisory("transformers", "4.53.0", "CVE-2025-5197", "long run time for crafted names"),
    Advisory("urllib3", "2.6.0", "CVE-2025-66418", "unbounded decompression"),
)


def problems() -> list[str]:
    """What speaks against what is installed, a sentence each."""
    installed = {
        canonicalize_name(each.metadata["Name"]): Version(each.version) for each in importlib.metadata.distributions()
    }
    found = [
        f"{each.package} {installed[each.package]}: {each.number}, {each.what}; mended in {each.fixed_in}."
        for each in ADVISORIES
        if each.package in installed and installed[each.package] < Version(each.fixed_in)
    ]
    for file in ("requirements.txt", "tests/requirements.txt"):
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
            if re.match(r"[a-z]", line):
                wanted = Requirement(line)
                version = installed.get(canonicalize_name(wanted.name))
                if version is None or not wanted.specifier.contains(version):
                    found.append(f"{file} asks for {line}, and {version} is installed.")
    return found


def age() -> str:
    """How old the list is, a sentence."""
    return (
        f"Held against {len(ADVISORIES)} advisories as of {AS_OF}: of what became known later nothing is seen; where "
        "there is a network, ask pip-audit."
    )


def main() -> int:
    """Print what was found, and how old the list is that it was held against."""
    fits = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    found = problems() + ([] if fits.returncode == 0 else fits.stdout.strip().splitlines())
    print("\n".join(found) or "Nothing is known against what is installed.")
    print(age())
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
