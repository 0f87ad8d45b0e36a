"""Files of a confirmatory study: what was frozen before its first look, and the decision of each look.

<root>/protocols/<name>/
    frozen-<date>.json   written once; holds the digest of its own content, and is read-only
    looks.json           the looks so far with their digest, and the identity of the design that they belong to
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agrae_lab.runs.directory import SCHEMA_VERSION, check_schema
from agrae_lab.runs.files import RunError, read_json, replacing, write_json


def protocol_dir(root: Path, name: str) -> Path:
    """Return the directory of a protocol's files."""
    return root / "protocols" / name


def write_frozen(folder: Path, content: Mapping[str, Any], *, date: str) -> Path:
    """Write the frozen file of this date, for good.

    Raises:
        RunError: there is a frozen file already.
    """
    if known := sorted(folder.glob("frozen-*.json")):
        raise RunError(f"{known[0]} exists, and a protocol is frozen once. Give the new one another name or root")
    value = {"schema_version": SCHEMA_VERSION, "frozen": date, **content}
    path = folder / f"frozen-{date}.json"
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps({**value, "digest": digest(value)}, indent=2, ensure_ascii=False) + "\n")
        temporary.chmod(0o444)
    return path


def read_frozen(folder: Path) -> dict[str, Any] | None:
    """Return the content of the frozen file; None before the freeze.

    Raises:
        RunError: there are several, or its content is not the one that was frozen.
    """
    found = sorted(folder.glob("frozen-*.json"))
    if not found:
        return None
    if len(found) > 1:
        raise RunError(f"{folder} has {len(found)} frozen files, but a protocol is frozen once. Keep the first one")
    content = read_json(found[0])
    check_schema(content, found[0])
    if content.get("digest") != digest({key: value for key, value in content.items() if key != "digest"}):
        raise RunError(f"{found[0]} has been changed since it was written. Restore it, or start another protocol")
    return content


def write_looks(folder: Path, identity: str, looks: Sequence[Mapping[str, Any]]) -> None:
    """Write the looks so far, with the identity of the design that they belong to, such as a frozen file's digest."""
    value = {"schema_version": SCHEMA_VERSION, "design": identity, "looks": list(looks)}
    write_json(folder / "looks.json", {**value, "digest": digest(value["looks"])})


def read_looks(folder: Path, identity: str) -> list[dict[str, Any]]:
    """Return the looks so far, [] before the first one.

    Raises:
        RunError: the file cannot be read, has been changed, or its looks belong to another design.
    """
    path = folder / "looks.json"
    if not path.is_file():
        return []
    content = read_json(path)
    check_schema(content, path)
    if content.get("design") != identity:
        raise RunError(
            f"{path} has looks of another design (arms, metrics, rule or seeds). Restore the design, or move that file "
            "away to start again"
        )
    looks: list[dict[str, Any]] | None = content.get("looks")
    if looks is None or content.get("digest", found := digest(looks)) != found:  # files of before have no digest
        raise RunError(f"{path} has been changed since it was written. Restore it, or move it away to look again")
    return looks


def digest(value: Any) -> str:
    """Return the SHA-256 of plain data, as hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
