"""The file of a catalogue: where it lies, what it says of itself, and opening it read-only."""

from __future__ import annotations

from pathlib import Path

import duckdb
from convrec.core.errors import CatalogueError
from convrec.tools.catalogue_sql import path_literal
from convrec.tools.schema import Schema
from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT = 2
"""Version of the tables; another one is refused."""
FILE = "catalogue.duckdb"
MANIFEST = "manifest.json"


class Source(BaseModel):
    """What a catalogue was made from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    sha256: str
    builder: str
    """Name and version of what read it; another one means: build again."""


class Manifest(BaseModel):
    """What a catalogue is. It lies in the file itself; ``manifest.json`` beside it is a copy for people and scripts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    item_schema: Schema
    size: int
    fingerprint: str
    """SHA-256 over the items in row order; equal fingerprints mean equal rows."""
    source: Source
    created_by: str
    created_at: str
    """UTC, ISO 8601."""
    missing: dict[str, int]
    """Items without a value, by field."""
    notes: tuple[str, ...] = ()
    """What the builder set aside or changed, in words."""


def read_manifest(folder: Path) -> Manifest:
    """The manifest inside a catalogue's file.

    Raises:
        CatalogueError: missing, damaged or of another format.
    """
    connection = attach(folder)
    try:
        return manifest_in(connection, folder)
    finally:
        connection.close()


def attach(folder: Path) -> duckdb.DuckDBPyConnection:
    """A connection with the catalogue attached read-only, and with no way to other files or to the network.

    Attached to a private in-memory database: connecting to the path itself would share one instance per path within the
    process, and a catalogue replaced on disk would stay invisible until its last reader is gone.
    """
    file = folder / FILE
    if not file.is_file():
        command = "convrec data demo" if folder.name == "demo" else f"convrec data import FILE --name {folder.name}"
        raise CatalogueError(f"no catalogue {folder.name!r} in {folder.parent}. Create it: {command}")
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute(f"ATTACH {path_literal(str(file))} AS cat (READ_ONLY)")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        raise damaged(folder, error) from error
    return connection


def manifest_in(connection: duckdb.DuckDBPyConnection, folder: Path) -> Manifest:
    """The manifest of an attached catalogue; errors as of :func:`read_manifest`."""
    try:
        found = connection.execute("SELECT manifest FROM cat.meta").fetchone()
        manifest = Manifest.model_validate_json(found[0] if found else "")
    except (duckdb.Error, ValidationError) as error:
        raise damaged(folder, error) from error
    if manifest.format != FORMAT:
        raise CatalogueError(
            f"catalogue {folder.name!r} has format {manifest.format}, this version reads {FORMAT}. "
            f"{_remake(folder.name)}"
        )
    return manifest


def damaged(folder: Path, error: Exception) -> CatalogueError:
    """The error that says that a catalogue cannot be read, why, and how to make it again."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CatalogueError(
        f"catalogue {folder.name!r} ({folder / FILE}) cannot be read: {reason}. {_remake(folder.name)}"
    )


def _remake(name: str) -> str:
    command = "convrec data demo --rebuild" if name == "demo" else f"convrec data import FILE --name {name} --replace"
    return f"Make it again: {command}"
