"""Documents that are almost right are read or refused with their problems, never anything else."""

import copy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.api import load, yamltext
from agent.api.load import ParseError, Problem
from agent.check.validate import validate

SAMPLES = Path(__file__).parents[2] / "data" / "conformance" / "host-configuration" / "valid"
DOCUMENTS: list[Any] = [
    yamltext.parse(sample.read_bytes()).value for sample in sorted(SAMPLES.glob("*.yaml"))
]
JUNK = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=3)
    | st.sampled_from([[], {}, [None], {"id": 5}, "grow", "/", "root"])
)
Steps = tuple[str | int, ...]


def places(value: Any, path: Steps = ()) -> list[Steps]:
    """Paths to every value inside `value`."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += places(value[key], (*path, key))
    return found


WHERE = [(index, path) for index, doc in enumerate(DOCUMENTS) for path in places(doc)]


def read(text: str) -> tuple[Problem, ...]:
    """The problems of a document; when there are none, its findings are made as well."""
    try:
        loaded = load.load_document(text)
    except ParseError as error:
        return error.problems
    validate(loaded.configuration, loaded.positions)
    return ()


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(WHERE), JUNK)
def test_a_document_with_a_wrong_value_is_read_or_refused(
    where: tuple[int, Steps], junk: object
) -> None:
    index, path = where
    document = copy.deepcopy(DOCUMENTS[index])
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = junk
    for problem in read(yamltext.dump(document)):
        assert problem.mark is not None
        assert problem.message
