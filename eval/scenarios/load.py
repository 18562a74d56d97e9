"""Reading and writing scenario files; an error names the file, the field and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from convrec.core.errors import DatasetError, RequestError
from convrec.core.files import replacing
from convrec.eval.scenarios.model import Scenario, ScenarioFile
from pydantic import ValidationError

SHIPPED = Path(__file__).parent / "data"
"""The scenarios that come with the package, one file per family."""
_HEAD = (
    "# Written by `convrec eval scenarios generate --seed {seed}`; `convrec eval scenarios check` counts solutions.\n"
)


def load_file(path: Path) -> list[Scenario]:
    """The scenarios of one YAML file.

    Raises:
        DatasetError: cannot be read or is no scenario file; names the file, the field and the remedy.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Give a YAML file of scenarios") from error
    except yaml.YAMLError as error:
        raise DatasetError(f"{path} is no YAML: {error}. See docs/scenarios.md for the format") from error
    if not isinstance(data, dict):
        raise DatasetError(f"{path}: expected the keys `family` and `scenarios` at the top. See docs/scenarios.md")
    try:
        return list(ScenarioFile.model_validate(_with_family(data)).scenarios)
    except ValidationError as error:
        lines = [f"  {_where(problem['loc'], data)}: {problem['msg']}" for problem in error.errors()]
        raise DatasetError(
            f"{path}: {len(lines)} wrong field{'s' if len(lines) != 1 else ''}\n"
            + "\n".join(lines[:20])
            + "\nCorrect them; docs/scenarios.md describes each field"
        ) from error


def load(source: Path | None = None, families: Sequence[str] = ()) -> list[Scenario]:
    """The scenarios of a file, of a folder's YAML files, or the shipped ones; by family and order in the file.

    Raises:
        DatasetError: a file is wrong, or there is none.
        RequestError: an unknown family.
    """
    source = source or SHIPPED
    files = sorted(source.glob("*.yaml")) if source.is_dir() else [source]
    if not files:
        raise DatasetError(f"{source} holds no .yaml file of scenarios")
    found = [scenario for file in files for scenario in load_file(file)]
    ids = [s.id for s in found]
    if len(set(ids)) != len(ids):
        twice = sorted({i for i in ids if ids.count(i) > 1})
        raise DatasetError(f"{source}: scenario ids must differ between files, got {twice[:3]} twice. Rename one")
    known = list(dict.fromkeys(s.family for s in found))
    for family in families:
        if family not in known:
            raise RequestError("--family", family, f"One of: {', '.join(known)}.")
    return [s for s in found if not families or s.family in families]


def write_file(path: Path, scenarios: Sequence[Scenario], seed: int) -> None:
    """Write one family's scenarios; what has its default value is left out."""
    body = {
        "family": scenarios[0].family,
        "scenarios": [s.model_dump(mode="json", exclude_defaults=True, exclude={"family"}) for s in scenarios],
    }
    text = yaml.dump(body, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=118)
    with replacing(path) as temporary:
        temporary.write_text(_HEAD.format(seed=seed) + text, encoding="utf-8")


def _with_family(data: dict[str, Any]) -> dict[str, Any]:
    """The family is said once, at the top of the file."""
    listed = data.get("scenarios")
    if not isinstance(listed, list):
        return data
    filled = [{"family": data.get("family"), **s} if isinstance(s, dict) else s for s in listed]
    return {**data, "scenarios": filled}


def _where(loc: tuple[int | str, ...], data: dict[str, Any]) -> str:
    """``scenarios[3] (people-04).turns[0].text``."""
    out = ""
    for depth, part in enumerate(loc):
        if isinstance(part, int):
            out += f"[{part}]"
            if depth == 1 and loc[0] == "scenarios":
                one = data["scenarios"][part]
                out += f" ({one.get('id', 'no id')})" if isinstance(one, dict) else ""
        else:
            out += f".{part}" if out else part
    return out or "the file"


class _Dumper(yaml.SafeDumper):
    """Short lists of plain values on one line."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_list(dumper: yaml.SafeDumper, data: list[Any]) -> yaml.Node:
    plain = all(not isinstance(value, dict | list) for value in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=plain)


_Dumper.add_representer(list, _represent_list)
