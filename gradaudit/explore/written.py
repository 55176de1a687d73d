"""A failing case as the text of a spec of its own: a few lines, ready to be pasted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gradaudit.drafts.written import plain, target_said
from gradaudit.explore.values import listed_of
from gradaudit.spec.case import Case, Input, RandomUpstream
from gradaudit.spec.dtypes import is_floating
from gradaudit.spec.source import Document
from gradaudit.spec.structured import WITHOUT_RANGE

DEFAULT_RANGE = (-1.0, 1.0)
"""Of real inputs: it goes without saying."""

FILES = ("path", "header", "float64")
"""What stands in the target of a library and is seen from the spec's folder."""


def spec_text(case: Case, source: Document | Path, folder: Path | None, name: str, heading: str) -> str:
    """Return the spec of a case, for a file in a folder.

    Args:
        case: the case.
        source: the document that its op stands in, or the file of an op that has none.
        folder: where the spec will lie; None for one that names its folders in full.
        name: what the op is called in it.
        heading: a line for people.

    """
    data: dict[str, Any] = {"op": name, "target": _target(case, source, folder)}
    data["inputs"] = {made.name: _OnOneLine(_input(made, case)) for made in case.inputs}
    if case.params:
        data["params"] = _OnOneLine(plain(dict(case.params)))
    data["dtype"] = case.dtype
    if case.tolerance is not None:
        data["tolerance"] = {"rtol": case.tolerance.rtol, "atol": case.tolerance.atol}
        data["tolerance"] |= {"reason": case.tolerance.reason} if case.tolerance.reason else {}
    if case.upstream != "random":
        data["upstream"] = _upstream(case.upstream)
    if case.relations:
        data["relations"] = True
    if case.seed:
        data["seed"] = case.seed
    if case.step is not None:
        data["step"] = case.step
    text = yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    return f"# {heading}\n{text}"


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: a list that stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _OnOneLine(dict[str, Any]):
    """A mapping that is written in braces."""


_Dumper.add_representer(
    _OnOneLine, lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)
)


def _target(case: Case, source: Document | Path, folder: Path | None) -> dict[str, Any]:
    if isinstance(source, Document):
        return _of_document(case, source, folder)
    said = target_said(case, source, folder or source.parent)
    return {**said, "folder": str(case.target.folder.resolve())} if folder is None else said


def _of_document(case: Case, document: Document, folder: Path | None) -> dict[str, Any]:
    """Return what the document says of the target, seen from another folder, or from any."""
    home = document.file.resolve().parent
    said = dict(document.data.get("target") or {})
    for own in document.data.get("cases") or []:
        if own.get("name") == case.name_in_spec:
            said |= own.get("target") or {}
    imported = (home / said.pop("folder", ".")).resolve()
    if isinstance(library := said.get("library"), Mapping):  # no module is imported, and its files are seen from here
        seen = {key: _seen(imported / library[key], folder) for key in FILES if library.get(key)}
        return {**said, "library": {**library, **seen}}
    return said if folder is not None and imported == folder.resolve() else {**said, "folder": _seen(imported, folder)}


def _seen(path: Path, folder: Path | None) -> str:
    return str(path.resolve()) if folder is None else os.path.relpath(path.resolve(), folder.resolve())


def _input(made: Input, case: Case) -> dict[str, Any]:
    said = {"values": listed_of(made.values, made.dtype)} if made.values is not None else _drawing(made)
    if made.dtype != (case.dtype if said.get("distribution") not in ("integers", "permutation") else "int64"):
        said["dtype"] = made.dtype
    if made.layout != "contiguous":
        said["layout"] = made.layout
    if is_floating(made.dtype) and not made.differentiable:
        said["differentiable"] = False
    return said


def _drawing(made: Input) -> dict[str, Any]:
    """Return how values are drawn."""
    said: dict[str, Any] = {"shape": list(made.shape)}
    if made.distribution != "uniform":
        said["distribution"] = made.distribution
    if made.columns:
        said["ranges"] = [list(pair) for pair in made.columns]
    elif made.range not in (None, _usual_range(made)) and made.distribution not in WITHOUT_RANGE:
        said["range"] = list(made.range or DEFAULT_RANGE)
    if made.distribution == "bernoulli":
        said["p"] = made.probability
    if made.avoid is not None:
        said["avoid"] = {"points": list(made.avoid.points), "margin": made.avoid.margin}
    return said | ({"gap": made.gap} if made.gap else {})


def _usual_range(made: Input) -> tuple[float, float] | None:
    return DEFAULT_RANGE if is_floating(made.dtype) and made.distribution in ("uniform", "normal") else None


def _upstream(upstream: Any) -> Any:
    if not isinstance(upstream, RandomUpstream):
        return plain(upstream)
    said: dict[str, Any] = {} if upstream.scale == 1.0 else {"scale": upstream.scale}
    return said | ({} if upstream.layout == "contiguous" else {"layout": upstream.layout})
