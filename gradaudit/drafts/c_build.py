"""Building C sources into libraries: as they are, and once more with ``double`` for ``float``."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (".c", ".cc", ".cpp", ".cxx")
HEADERS = (".h", ".hpp")
LITERAL = re.compile(r"(?<![\w.])(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+(?:[eE][-+]?\d+)?)[fF]\b")
MATHS = re.compile(
    r"\b(exp|exp2|expm1|log|log2|log10|log1p|sqrt|cbrt|pow|sin|cos|tan|asin|acos|atan|atan2|sinh|cosh|tanh|asinh|acosh|"
    r"atanh|erf|erfc|fabs|fmax|fmin|fmod|floor|ceil|round|trunc|hypot|copysign|lgamma|tgamma|nearbyint|rint|fma)f\b"
)
SECONDS = 60


class BuildError(Exception):
    """A source cannot be built; says what the compiler said."""


@dataclass(frozen=True)
class Built:
    """The libraries of a source: in its own types, and in double, which is empty where that cannot be built."""

    path: str
    float64: str


def in_double(text: str) -> str:
    """Return a source with ``double`` for ``float``, in literals and functions of math.h as well."""
    return re.sub(r"\bfloat\b", "double", MATHS.sub(r"\1", LITERAL.sub(_plain_literal, text)))


def _plain_literal(found: re.Match[str]) -> str:
    number = found[1]
    return number if re.search(r"[.eE]", number) else f"{number}.0"


def built(source: Path) -> Built:
    """Build a source, and return where its libraries are; what was built from the same text is not built again.

    Raises:
        BuildError: where there is no compiler, or it refuses the source.

    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if source.suffix != ".c":
        compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if not compiler:
        raise BuildError("there is no C compiler; build the library and name it in a spec")
    texts = {file: file.read_text(errors="replace") for file in _neighbours(source)}
    key = hashlib.sha256("\0".join([str(source), *texts.values()]).encode()).hexdigest()[:16]
    folder = _cache() / key
    own, wide = folder / "own" / "library.so", folder / "double" / "library.so"
    if not own.exists():
        _build(compiler, source, texts, own)
    if not wide.exists() and "float" in texts[source]:
        doubled = {file: in_double(text) for file, text in texts.items()}
        try:
            _build(compiler, source, doubled, wide)
        except BuildError:
            return Built(str(own), "")
    return Built(str(own), str(wide) if wide.exists() else "")


def _neighbours(source: Path) -> list[Path]:
    return [source, *(f for f in sorted(source.parent.iterdir()) if f.suffix in HEADERS and f.is_file())]


def _cache() -> Path:
    folder = Path(tempfile.gettempdir()) / f"gradaudit-built-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _build(compiler: str, source: Path, texts: dict[Path, str], output: Path) -> None:
    """Compile texts that stand for a source and the headers beside it; static functions can be called too."""
    with tempfile.TemporaryDirectory(prefix="gradaudit-build-") as place:
        for file, text in texts.items():
            (Path(place) / file.name).write_text(text)
        made = Path(place) / "made.so"
        flags = ["-O1", "-w", "-shared", "-fPIC", "-Dstatic=", "-Dinline=", "-Dmain=program_main", f"-I{source.parent}"]
        command = [compiler, *flags, str(Path(place) / source.name), "-o", str(made), "-lm"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"the compiler cannot be run: {error}") from None
        if ran.returncode:
            first = next((line for line in ran.stderr.splitlines() if "error" in line), ran.stderr.strip()[:200])
            raise BuildError(f"it does not compile: {first.replace(place + os.sep, '')}")
        output.parent.mkdir(parents=True, exist_ok=True)
        taken = output.with_name(f"{output.name}.{os.getpid()}")
        shutil.copy(made, taken)
        taken.replace(output)  # in one step: others may be building the same
