"""Writes the reference pages that are made from tables: `python -m tests.kit.reference_tables`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydantic.alias_generators import to_camel

from agent.api.catalogue import ERRORS, Meaning
from agent.api.errors import Kind
from agent.check import catalogue
from agent.check.graph import NodeKind
from agent.check.rules import (
    HASH_TYPE,
    MANY,
    ROLE_TYPES,
    RULES,
    UNIQUE,
    USUAL_MOUNT_POINTS,
    Rule,
)

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
ERRORS_HEAD = """\
# Errors

Made from the tables that the programs' tests hold complete: do not edit.

Each error ends with its identifier, `kind/code`. A script can rely on both; messages may change.
`invalid-host-configuration-static` and `-dynamic` carry the name of the broken rule as well.
`trident validate` shows it in brackets, and as `code` in JSON.
"""
WHO = {
    Kind.EXECUTION_ENVIRONMENT: "The system that the program runs on lacks something.",
    Kind.HEALTH_CHECKS: "The new system runs and is not healthy.",
    Kind.INITIALIZATION: "The operation could not begin.",
    Kind.INTERNAL: "A defect of the program.",
    Kind.INVALID_INPUT: "Something that the operator wrote must change.",
    Kind.SERVICING: "The operation began and failed.",
    Kind.UNSUPPORTED_CONFIGURATION: "Valid, and beyond this version or this machine.",
}
RULES_HEAD = """\
# Storage rules

Made from the tables that `trident validate` works with: do not edit.

Disks hold partitions. Arrays, A/B pairs, encrypted volumes and verity devices stand on devices;
file systems and swap stand on top. A device never carries two of them.
"""
ORDER = """\
## Order

All findings are reported. The first is decided by this order: encryption (recovery key, PCRs); ids;
basic checks of disks and partitions; unique fields; file systems and mount points; references
(twice, number, existence, kind); sharing; equal kinds; equal sizes; types; hash types; RAID levels.
Then the ESP, /var/tmp and root; verity; `os`; `scripts`; `managementOs`; `trident`; what a verity
root rules out; the datastore's place; the extension images' places.
"""


def errors_page() -> str:
    parts = [ERRORS_HEAD]
    for kind in Kind:
        parts += [f"## {kind}\n", f"{WHO[kind]}\n", _meanings("Code", ERRORS[kind])]
    sections = {
        "Rules of the storage graph": catalogue.GRAPH,
        "Other rules of the document": catalogue.STATIC,
        "Warnings": catalogue.WARNINGS,
        "Rules that need the host": catalogue.DYNAMIC,
    }
    for title, rules in sections.items():
        parts += [f"## {title}\n", _meanings("Rule", rules)]
    return "\n".join(parts)


def storage_page() -> str:
    parts = [RULES_HEAD, "## What stands on what\n", _references()]
    parts += ["## What must be equal beneath a device\n", _equal()]
    parts += ["## Partition types\n", _types()]
    parts += ["## Unique values\n", _unique()]
    parts += ["## Usual mount points\n", _usual(), ORDER]
    parts += ["## Rules\n", _meanings("Rule", catalogue.GRAPH)]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _meanings(title: str, table: Mapping[str, Meaning]) -> str:
    rows = ((f"`{code}`", entry.meaning, entry.action) for code, entry in sorted(table.items()))
    return _table((title, "What it means", "What to do"), rows)


def _standing() -> list[tuple[NodeKind, Rule]]:
    return [(kind, rule) for kind, rule in RULES.items() if rule.kinds]


def _references() -> str:
    rows = (
        (str(kind), _number(rule.targets), ", ".join(sorted(rule.kinds)))
        for kind, rule in _standing()
    )
    return _table(("This", "stands on", "of these"), rows)


def _number(targets: tuple[int, int]) -> str:
    low, high = targets
    return f"{low} or more" if high == MANY else str(low)


def _equal() -> str:
    def mark(holds: bool) -> str:
        return "yes" if holds else ""

    rows = (
        (str(kind), mark(rule.same_kind), mark(rule.same_fixed_size), mark(rule.same_type))
        for kind, rule in _standing()
    )
    return _table(("This", "Kind of device", "Fixed partition size", "Partition type"), rows)


def _types() -> str:
    rows = [(str(kind), f"{rule.types}") for kind, rule in _standing()]
    rows = [(kind, "any" if types == "any but " else types) for kind, types in rows]
    rows += [(f"{role} of a verity device", str(types)) for role, types in ROLE_TYPES.items()]
    counterparts = "".join(
        f"- The hash of `{data}` data is `{hashes}`.\n" for data, hashes in HASH_TYPE.items()
    )
    levels = ", ".join(sorted(RULES[NodeKind.FILESYSTEM_ESP].raid_levels))
    return (
        _table(("Beneath this", "partitions can be"), rows)
        + f"\n{counterparts}- The hash of other data is of any of the types above.\n"
        + f"- The ESP can be on an array of level {levels} only.\n"
    )


def _unique() -> str:
    rows = ((str(kind), ", ".join(map(to_camel, fields))) for kind, fields in UNIQUE.items())
    return _table(("Of all", "these differ"), [("devices", "id"), *rows])


def _usual() -> str:
    rows = (
        (f"`{kind}`", ", ".join(map(str, paths)) or "nowhere")
        for kind, paths in USUAL_MOUNT_POINTS.items()
    )
    return _table(("Partition type", "is usually mounted at"), rows) + (
        "\nOther places get a warning.\n"
    )


PAGES: dict[str, Callable[[], str]] = {
    "errors.md": errors_page,
    "storage-rules.md": storage_page,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
