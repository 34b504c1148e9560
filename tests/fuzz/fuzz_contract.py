"""Fuzzes the contract: mutants of valid Host Configurations, YAML texts and scalars.

`python -m tests.fuzz.fuzz_contract`: 10^5 documents through reading and all rules, 10^6 texts
through the YAML rim, 10^6 scalars. No exception but those declared, no hang. What is accepted can
be reported and dumped; what YAML accepts survives a round trip. Prints the accepted shares, the
largest memory, and the line coverage of the rim, the models' parsers and the rules.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.api import dump, load, pcr, units, yamltext
from agent.api.pcr import Pcr
from agent.api.units import ByteCount
from agent.api.yamltext import YamlError
from agent.check import (
    extra_checks,
    findings,
    graph,
    graph_checks,
    internal_params,
    os_checks,
    report,
    rules,
    storage_checks,
    support,
    validate,
)
from agent.check.report import Report
from tests.fuzz.lines import measured
from tests.fuzz.mutate import campaign, change, mutants

LARGEST = 1 << 14
LIMIT_S = 30.0
NEEDED_COVERAGE = 0.9
DATA = Path(__file__).parents[1] / "data"
MODULES = (
    yamltext,
    units,
    pcr,
    load,
    extra_checks,
    findings,
    graph,
    graph_checks,
    internal_params,
    os_checks,
    report,
    rules,
    storage_checks,
    support,
    validate,
)
_TOKEN = re.compile(rb"[\w./-]+")
TEXTS = (
    b"a: 1\nb: [x, 'y', \"z\"]\nc: {d: e}\n",
    b"- &a [1, 2.5, true, null]\n- *a\n- !!str 5\n",
    b"k: |\n  line\n  line\nf: >-\n  folded\n  text\n",
    b"? key\n: value\n# comment\n<<: {}\nk: .inf\n",
    b"---\na: 0x1F\nb: 0o17\nc: -5\nd: 1e3\ne: ~\n...\n",
    '"\\u00e9\\n": "\u00e9\u2028"\n'.encode(),
)
SCALARS = tuple(
    b"64M|1 G|4096|grow|0x1F|0o17|-1.5e10|secure-boot-policy|7|true|~|18446744073709551616|.nan|12T"
    b"|null|1_000".split(b"|")
)


def valid_documents() -> list[bytes]:
    """The valid documents that the bad ones come from, and upstream's samples."""
    documents = {path.read_bytes() for path in (DATA / "conformance").glob("*/valid/*.yaml")}
    for path in (DATA / "hc/bad").glob("*.yaml"):
        undo = json.loads(path.with_suffix(".expect.json").read_text())["undo"]
        documents.add(path.read_text().replace(undo["replace"], undo["with"]).encode())
    return sorted(documents)


def documents(seeds: Sequence[bytes], number: int) -> Iterator[bytes]:
    """Endless mutants: half with words of other documents or without a line, half with bytes."""
    source = random.Random(number)
    words = [match for seed in seeds for match in _TOKEN.findall(seed)]
    while True:
        data = source.choice(seeds)
        for _ in range(source.choice((1, 1, 1, 2))):
            if source.random() < 0.5:
                data = _reworded(data, source, words)
            else:
                changed = bytearray(data)
                change(changed, source, seeds)
                data = bytes(changed)
        yield data[:LARGEST]


def _reworded(data: bytes, source: random.Random, words: Sequence[bytes]) -> bytes:
    """`data` with one word or one line replaced, repeated or removed."""
    if source.random() < 0.3:
        lines = data.splitlines(keepends=True)
        if lines:
            at = source.randrange(len(lines))
            lines[at : at + 1] = source.choice(([], [lines[at]] * 2))
        return b"".join(lines)
    places = list(_TOKEN.finditer(data))
    if not places:
        return data
    place = source.choice(places)
    return data[: place.start()] + source.choice(words) + data[place.end() :]


def take_document(data: bytes) -> bool:
    """Whether the document is valid."""
    found = validate.examine(data)
    shown = Report("hc", found, data.decode(errors="replace"))
    report.text([shown])
    report.json([shown])
    if not shown.valid:
        findings.to_error(found)
        return False
    configuration = load.load(data)
    assert load.load(dump.dump(configuration)) == configuration
    devices = validate.storage_graph(configuration)
    for device in devices.by_id:
        assert (devices.size_bytes(device) or 0) >= 0
        devices.has_ab(device)
    return True


def take_text(data: bytes) -> bool:
    """Whether the text is YAML that the rim accepts."""
    try:
        value = yamltext.parse(data).value
    except YamlError:
        return False
    if isinstance(value, dict):
        assert yamltext.parse(yamltext.dump(value)).value == value
    return True


def take_scalar(data: bytes) -> bool:
    """Whether any of the scalar parsers accepts it."""
    text = data.decode(errors="replace")
    accepted = False
    for parse in (yamltext.resolve, ByteCount.parse, Pcr.parse):
        try:
            value = parse(text)
        except ValueError:
            continue
        accepted |= value != text
        if isinstance(value, ByteCount):
            assert ByteCount.parse(str(value)) == value
        if isinstance(value, Pcr):
            assert Pcr.parse(value.name) == value
    return accepted


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--scalars", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--covered", type=int, default=8_000, help="how many of each are measured")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-contract.bin"))
    arguments = parser.parse_args()
    number = arguments.seed
    seeds = valid_documents()
    campaigns = (
        ("documents", documents(seeds, number), take_document, arguments.documents),
        ("YAML texts", mutants(TEXTS, number, 512), take_text, arguments.texts),
        ("scalars", mutants(SCALARS, number, 64), take_scalar, arguments.scalars),
    )
    with measured(*MODULES) as lines:
        for name, inputs, take, count in campaigns:
            first = campaign(
                inputs, take, min(count, arguments.covered), limit_s=LIMIT_S, keep=arguments.keep
            )
            print(first.line(f"{name} (measured)"), flush=True)
    print(lines.line(), flush=True)
    for name, inputs, take, count in campaigns:
        rest = campaign(
            inputs, take, max(0, count - arguments.covered), limit_s=LIMIT_S, keep=arguments.keep
        )
        print(rest.line(name), flush=True)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"largest memory {peak_mib:.0f} MiB")
    return 0 if lines.share >= NEEDED_COVERAGE else 1


if __name__ == "__main__":
    raise SystemExit(main())
