"""The reference page of the Host Configuration says what the models say."""

from tests.kit.reference import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.kit.reference"
