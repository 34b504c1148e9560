"""The YAML rim: YAML 1.2's scalars, unique keys, limits, positions, and dumping."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from agent.api.yamltext import MAX_BYTES, Mark, YamlError, dump, parse, show


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-5", -5),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("64M", "64M"),
        ("|\n  a\n  b", "a\nb\n"),
    ],
)
def test_scalars_have_the_values_of_yaml_1_2(text: str, value: JsonValue) -> None:
    document = parse(f"k: {text}\n").value
    assert isinstance(document, dict)
    assert document["k"] == value
    assert type(document["k"]) is type(value)


def refused(text: str | bytes) -> YamlError:
    with pytest.raises(YamlError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "message", "mark"),
    [
        ("a: 1\nb: 2\na: 3", "'a' is already set in line 1", Mark(3, 1)),
        ("a: {b: 1, 'b': 2}", "'b' is already set in line 1", Mark(1, 11)),
        ("a: !!int 5", "tags such as 'tag:yaml.org,2002:int' are not supported", Mark(1, 4)),
        ("a: !x {}", "tags such as '!x' are not supported", Mark(1, 4)),
        ("<<: {}", "merge keys ('<<') are not supported", Mark(1, 1)),
        ("? [a]\n: b", "a key must be text", Mark(1, 3)),
        ("a: *b", "alias '*b' has no anchor before it", Mark(1, 4)),
        ("a: &a [*a]", "alias '*a' has no anchor before it", Mark(1, 8)),
        ("a: .inf", "'.inf' is not a number that can be used here", Mark(1, 4)),
        ("a: 1e999", "1e999 is too large", Mark(1, 4)),
        ("a: " + "9" * 65, "a number with too many digits", Mark(1, 4)),
        ("a\n---\nb", "more than one document", Mark(2, 1)),
        ("a: 1\nb: \x07", "the character U+0007 is not allowed", Mark(2, 4)),
        ("a: \ufeff", "the character U+FEFF is not allowed", Mark(1, 4)),
        ("[" * 65 + "]", "nested deeper than 64 levels", Mark(1, 65)),
    ],
)
def test_what_is_not_accepted_is_refused_with_its_place(
    text: str, message: str, mark: Mark
) -> None:
    error = refused(text)
    assert error.message == message
    assert error.mark == mark


def test_nesting_up_to_the_limit_is_read() -> None:
    assert parse("[" * 64 + "]" * 64).value is not None


def test_a_hundred_thousand_brackets_are_refused_quickly() -> None:
    assert "nested deeper" in refused("[" * 100_000).message


def test_aliases_that_multiply_are_bounded() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    assert refused("\n".join(lines)).message == "more than 200000 values"


def test_an_alias_stands_for_the_value_of_its_anchor() -> None:
    assert parse("a: &x [1]\nb: *x").value == {"a": [1], "b": [1]}


@pytest.mark.parametrize("data", [b"a: \xff", "a: \ud800", "a: b".encode("utf-16")])
def test_only_utf_8_is_read(data: bytes | str) -> None:
    assert refused(data).message == "the document is not UTF-8 text"


def test_a_document_has_a_largest_size() -> None:
    assert parse("#" * MAX_BYTES).value is None
    assert "larger than" in refused("#" * (MAX_BYTES + 1)).message


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse("\ufeffa: 1").value == {"a": 1}


def test_values_and_keys_know_their_places() -> None:
    positions = parse("a:\n  - b: 1\n    c:\n      d\n").positions
    assert positions.of(("a", 0, "b")) == Mark(2, 8)
    assert positions.of_key(("a", 0, "c")) == Mark(3, 5)
    assert positions.of(("a", 0, "c")) == Mark(4, 7)
    assert positions.of(("a", 0, "nothing", 5)) == Mark(2, 5)


def test_paths_are_shown_as_people_write_them() -> None:
    assert show(("storage", "disks", 0, "size")) == "storage.disks[0].size"
    assert show(()) == ""


def test_scripts_are_dumped_as_blocks() -> None:
    assert dump({"content": "a\nb\n"}) == "content: |\n  a\n  b\n"


NUMBER_LIKE = st.sampled_from(
    [
        "010",
        "0o7",
        "0x1f",
        "1e3",
        "1_0",
        "1:30",
        "off",
        "no",
        "~",
        "",
        ".5",
        "5.",
        "-.inf",
        "=",
        "<<",
    ]
)
TEXT = NUMBER_LIKE | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 64), 1 << 64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT.filter(lambda key: key != "<<"), VALUES, max_size=4))
def test_what_is_dumped_is_read_back(value: dict[str, JsonValue]) -> None:
    assert parse(dump(value)).value == value


@given(st.text() | st.text("[]{}:,-&*!|>'\"%#?\n ab"))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        value = parse(text).value
    except YamlError:
        return
    assert isinstance(value, bool | int | float | str | list | dict | None)
