"""Everything that is measured, one part after the other, and the one table that comes of it.

A part is a ``convrec eval`` command with a folder of its own, so it can be repeated alone and goes on where it
stopped. A part that cannot run is named with the reason.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from convrec.core.errors import ConvrecError
from convrec.core.files import write_json
from convrec.eval.report import Report, Table
from convrec.eval.run_folder import METRICS, read_tables, write_report
from convrec.eval.suites.run import SUITES

log = logging.getLogger("convrec.eval")

QUICK_DIALOGUES = 40
"""Dialogues per part with ``quick``: to see that everything runs; such figures compare with nothing."""


@dataclass(frozen=True, slots=True)
class Part:
    """``arguments``: of ``convrec eval``, without ``--out``, ``--json`` and ``--force``. ``tables``: how many of its
    tables the common report takes over."""

    name: str
    title: str
    arguments: tuple[str, ...]
    tables: int = 1


class Done(NamedTuple):
    """``reason``: why the part did not run, "" when it did."""

    part: Part
    reason: str


Command = Callable[[Sequence[str]], object]
"""Runs one command of ``convrec eval``, given its arguments; raises what went wrong."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is measured. ``models``: saved recommenders, each measured where its training data set is; ``systems``:
    other people's recommenders (see ``item_plugins``); ``subject``: the agent (see ``subject``)."""

    tier: str = "none"
    models: Sequence[Path] = ()
    systems: Sequence[str] = ()
    subject: str = "local"
    seed: int = 0
    quick: bool = False

    @property
    def of_agent(self) -> tuple[str, ...]:
        """Arguments of every command that talks to an agent."""
        return ("--tier", self.tier, "--subject", self.subject, "--seed", str(self.seed))


def parts(asked: Asked) -> list[Part]:
    """All parts, in order."""
    return [*_items(asked), *_users(asked), *_scenarios(asked), *_suites(asked), *_memory(asked)]


def run_parts(
    out: Path, chosen: Sequence[Part], command: Command, *, force: bool, tell: Callable[[str], None]
) -> list[Done]:
    """Run every part into ``out/<name>`` and write the common report into ``out``."""
    done = []
    for number, part in enumerate(chosen, 1):
        tell(f"{number}/{len(chosen)} {part.title}")
        arguments = [*part.arguments, "--out", str(out / part.name), "--json", *(["--force"] if force else [])]
        reason = ""
        try:
            with redirect_stdout(io.StringIO()):
                command(arguments)
        except ConvrecError as error:
            reason = str(error)
        except Exception as error:  # hours of other parts must not be lost to a mistake in one
            reason = f"A mistake in the program, {type(error).__name__}: {error}"
            log.exception(part.name)
        if not reason and not (out / part.name / METRICS).exists():
            reason = "It ended without figures."
        if reason:
            log.warning("%s did not run: %s", part.name, reason)
        done.append(Done(part, reason))
    _write(out, done)
    return done


def found_models(home: Path) -> list[Path]:
    """Saved recommenders in ``home/models`` that no test or validation split went into, sorted by name."""
    folders = sorted(manifest.parent for manifest in (home / "models").glob("*/manifest.json"))
    return [folder for folder in folders if (splits := splits_of(folder)) and all(s.endswith("-train") for s in splits)]


def splits_of(folder: Path) -> tuple[str, ...]:
    """What a saved recommender says it was trained on; () when it does not, or is damaged."""
    try:
        splits = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["info"]["splits"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return tuple(split for split in splits if isinstance(split, str)) if isinstance(splits, list) else ()


def _items(asked: Asked) -> list[Part]:
    found = []
    for dataset, protocols in (("redial", ("novel", "full", "cikm", "unicrs")), ("inspired", ("cikm", "unicrs"))):
        own = [folder for folder in asked.models if any(s.startswith(f"{dataset}-") for s in splits_of(folder))]
        for protocol in protocols:
            arguments = ["items", "--dataset", dataset, "--protocol", protocol, "--seed", str(asked.seed)]
            arguments += [text for folder in own for text in ("--model", str(folder))]
            arguments += [text for system in asked.systems for text in ("--system", system)]
            if asked.quick:
                arguments += ["--limit-dialogues", str(QUICK_DIALOGUES), "--systems", "popularity,echo,itemknn"]
            title = f"Item recommendation: {dataset}, {protocol}"
            found.append(Part(f"items-{dataset}-{protocol}", title, tuple(arguments)))
    return found


def _users(asked: Asked) -> list[Part]:
    found = []
    for simulator, source, dialogues in (
        ("scripted", "demo", 400),
        ("scripted", "redial", 300),
        ("target", "redial", 300),
        ("chat", "redial", 300),
    ):
        arguments = ["users", "--simulator", simulator, "--source", source, *asked.of_agent]
        arguments += ["--dialogues", str(QUICK_DIALOGUES // 4 if asked.quick else dialogues)]
        arguments += ["--persona", "all"] if (simulator, source) == ("scripted", "demo") else []
        arguments += ["--catalogue", "redial"] if source == "redial" else []
        title = f"Simulated users: {simulator}, {source}"
        found.append(Part(f"users-{simulator}-{source}", title, tuple(arguments)))
    return found


def _scenarios(asked: Asked) -> list[Part]:
    arguments = ("scenarios", "--repeats", "1" if asked.quick else "4", *asked.of_agent)
    return [Part("scenarios", "Scripted scenarios", arguments)]


def _suites(asked: Asked) -> list[Part]:
    small = ("--small",) if asked.quick else ()
    return [Part(f"suite-{name}", f"Suite: {name}", ("suite", name, *asked.of_agent, *small)) for name in SUITES]


def _memory(asked: Asked) -> list[Part]:
    """Of the rules, in this process: an agent elsewhere lets nobody look into its memory."""
    check = ("--check", "conditional") if asked.quick else ()
    return [Part("memory", "Memory", ("memory", "--seed", str(asked.seed), *check))]


def _write(out: Path, done: Sequence[Done]) -> None:
    tables: list[Table] = []
    figures: dict[str, Any] = {}
    lead = []
    for part, reason in done:
        if reason:
            continue
        told, found = read_tables(out / part.name)
        head = " ".join(told[:1])
        for table in found[: part.tables]:
            title = part.title if part.tables == 1 else f"{part.title}: {table.title}"
            tables.append(
                Table(title, table.columns, table.rows, " ".join(text for text in (head, table.note) if text))
            )
        figures[part.name] = json.loads((out / part.name / METRICS).read_text(encoding="utf-8"))
    missing = [(part.title, reason) for part, reason in done if reason]
    if missing:
        tables.append(Table("Not run", ("part", "reason"), missing))
    lead.append(f"{len(done) - len(missing)} of {len(done)} parts. Each has a folder of its own with every case.")
    write_report(out, Report("Everything that is measured", lead, tables))
    state: Mapping[str, Any] = {part.name: {"command": _shown(part), "reason": reason} for part, reason in done}
    write_json(out / METRICS, {"parts": state, "figures": figures})


def _shown(part: Part) -> str:
    """The command as a reader may repeat it; of a model's folder only the name."""
    words = [
        Path(word).name if before == "--model" else word
        for before, word in zip(("", *part.arguments), part.arguments, strict=False)
    ]
    return " ".join(("convrec", "eval", *words))
