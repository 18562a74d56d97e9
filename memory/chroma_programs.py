"""Programs for short processes of their own, which work on Chroma's SQLite file: ``sys.argv[1]`` is its path.

Not in this process: see :mod:`convrec.memory.chroma_files`.
"""

from __future__ import annotations

# Chroma never empties its log, embeddings_queue: one row per collection stays, and each write and each first read of a
# collection goes through all of them. What both segments of a collection hold already is deleted here, as Chroma does
# it but for that row. The row is what Chroma counts on from, so another takes its place: the newest of all, of no
# collection, so that it stays when a collection is dropped. Were the count ever to fall below what a segment holds,
# Chroma would take new records for old ones and lose them. The log is read before the segments are: a collection made
# in between loses nothing.
PURGE = """
import sqlite3, sys
NOBODY = "persistent://default/default/00000000-0000-0000-0000-000000000000"
db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'embeddings_queue'").fetchone():
    rows = db.execute("SELECT seq_id, topic FROM embeddings_queue").fetchall()
    done, high = {}, 0
    for collection, seq_id in db.execute(
        "SELECT collection, seq_id FROM segments LEFT JOIN max_seq_id ON segment_id = id"
    ):
        number = seq_id if isinstance(seq_id, int) else -1
        done[collection], high = min(done.get(collection, sys.maxsize), number), max(high, number)
    last = max((seq_id for seq_id, _ in rows), default=0)
    gone = [(s,) for s, topic in rows if topic != NOBODY and s <= done.get(topic[-36:], last)]
    if gone or high > last:
        gone += [(s,) for s, topic in rows if topic == NOBODY]
        db.execute("BEGIN IMMEDIATE")
        db.execute(
            "INSERT INTO embeddings_queue (seq_id, operation, topic, id) "
            "SELECT MAX(?, IFNULL(MAX(seq_id), 0)) + 1, 2, ?, '' FROM embeddings_queue", (high, NOBODY)
        )
        db.executemany("DELETE FROM embeddings_queue WHERE seq_id = ?", gone)
        db.execute("COMMIT")
"""

# Chroma indexes every text of the metadata for filters, the records too, which makes half of the file. Nothing here
# filters in Chroma: the index of the same name leaves the records out.
PREPARE = "\n".join(
    (
        """
import os, sqlite3, sys
path = sys.argv[1]
if os.path.exists(path):
    with open(path, "rb") as file:
        head = file.read(16)
    if head and head != b"SQLite format 3\\0":  # Chroma would try for long seconds
        raise SystemExit("it is not a SQLite file")
db = sqlite3.connect(path, timeout=30, isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
name = "embedding_metadata_string_value"
found = db.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", (name,)).fetchone()
if found and "<> 'record'" not in found[0]:
    db.execute("BEGIN IMMEDIATE")
    db.execute("DROP INDEX " + name)
    db.execute(
        "CREATE INDEX " + name + " ON embedding_metadata (key, string_value) "
        "WHERE string_value IS NOT NULL AND key <> 'record'"
    )
    db.execute("COMMIT")
db.close()
""",
        PURGE,
    )
)

# VACUUM writes the file anew without its free pages; the checkpoint then empties the write-ahead log. Chroma leaves the
# index folder of a collection that is dropped; it bears the id of its segment.
COMPACT = "\n".join(
    (
        PURGE,
        """
import pathlib, shutil, time, uuid
db.execute("VACUUM")
for _ in range(100):
    if not db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        break
    time.sleep(0.05)
else:
    raise SystemExit("its log is being read")
used = {row[0] for row in db.execute("SELECT id FROM segments")}
db.close()
for folder in pathlib.Path(sys.argv[1]).parent.iterdir():
    try:
        uuid.UUID(folder.name)
    except ValueError:
        continue
    if folder.name not in used:
        shutil.rmtree(folder)
""",
    )
)

DROP_INDEX = """
import pathlib, shutil, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=30)
for (segment,) in db.execute("SELECT id FROM segments WHERE collection = ? AND scope = 'VECTOR'", (sys.argv[2],)):
    shutil.rmtree(pathlib.Path(sys.argv[1]).parent / segment, ignore_errors=True)
db.close()
"""
