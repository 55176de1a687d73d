"""Recorded cases as specs, with the script's own values in a file beside each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gradaudit.drafts.written import UnwritableDraftError, input_said, plain, target_said
from gradaudit.record.drafting import Drafted
from gradaudit.report.files import AtomicFile
from gradaudit.spec.case import Case, Input
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs
from gradaudit.spec.modeline import modeline


def write_specs(drafted: Drafted, folder: Path, home: Path) -> Iterator[Path]:
    """Write the specs of a backward pass, and yield their files.

    Args:
        drafted: what came of it.
        folder: where specs are; each is in a folder by the name of its module.
        home: the folder of the project.

    Raises:
        UnwritableDraftError: where a spec cannot be written, or is there already; nothing is left of it then.
        UnwritableError: where its folder cannot be written to.

    """
    for cases in drafted.groups:
        spec = folder / cases[0].module / f"{cases[0].op}.yaml"
        arrays = spec.with_suffix(".npz")
        if existing := next((file for file in (spec, arrays) if file.exists()), None):
            raise UnwritableDraftError(f"{existing} exists already")
        text = spec_text(cases, drafted, spec)
        spec.parent.mkdir(parents=True, exist_ok=True)
        values = dict(_values(cases))
        if values:
            np.savez_compressed(arrays, **values)
        AtomicFile(str(spec)).write(modeline(spec, home) + text)
        try:
            load_specs([spec])
        except SpecError as error:
            for file in (spec, arrays):
                file.unlink(missing_ok=True)
            raise UnwritableDraftError(f"its spec cannot be read back: {error.problems[0]}") from None
        yield spec


def spec_text(cases: Sequence[Case], drafted: Drafted, spec: Path) -> str:
    """Return the text of the spec of some cases of one target, for a file."""
    first = cases[0]
    data: dict[str, Any] = {"op": first.op, "target": target_said(first, drafted.file, spec.parent)}
    if (tolerance := first.tolerance) is not None:
        data["tolerance"] = {"rtol": tolerance.rtol, "atol": tolerance.atol, "reason": tolerance.reason}
    data["cases"] = [_case(case, spec) for case in cases]
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    heading = [f"Recorded from {drafted.place} and tried: {' '.join(drafted.said.split())}.", *drafted.remarks]
    return "".join(f"# {line}\n" for line in heading) + text


def _case(case: Case, spec: Path) -> dict[str, Any]:
    said: dict[str, Any] = {"name": case.name, "dtype": case.dtype}
    said["inputs"] = {made.name: _input(made, case, spec) for made in case.inputs}
    return said | ({"params": plain(dict(case.params))} if case.params else {})


def _input(made: Input, case: Case, spec: Path) -> dict[str, Any]:
    if made.values is None:
        said = input_said(made)
    else:
        said = {"values": {"file": f"{spec.stem}.npz", "name": _key(case, made)}}
        if not made.differentiable and made.dtype in ("float16", "bfloat16", "float32", "float64"):
            said["differentiable"] = False
    usual = ("int64", case.dtype) if made.distribution == "integers" and made.values is None else (case.dtype,)
    return said if made.dtype in usual else {**said, "dtype": made.dtype}


def _key(case: Case, made: Input) -> str:
    return f"{case.name}.{made.name}"


def _values(cases: Sequence[Case]) -> Iterator[tuple[str, Any]]:
    """Yield arrays by the names that they have in the file: bfloat16, which NumPy's files do not hold, in float32."""
    for case in cases:
        for made in case.inputs:
            if made.values is not None:
                yield _key(case, made), made.values.astype(np.float32) if made.dtype == "bfloat16" else made.values
