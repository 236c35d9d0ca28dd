"""What a new start would do differently."""

from qvl.daemon.drift import differences

PREFIX = ["/opt/python", "-m", "sglang.launch_server"]


def test_the_same_command_line_is_no_drift() -> None:
    assert differences([*PREFIX, "--port", "8000"], [*PREFIX, "--port", "8000"]) == ()


def test_added_and_dropped_words_are_named() -> None:
    assert differences([*PREFIX, "--old", "1"], [*PREFIX, "--new", "1"]) == ("---old", "+--new")


def test_a_process_that_shows_something_else_tells_nothing() -> None:
    assert differences(["sglang::server"], [*PREFIX, "--port", "8000"]) == ()
    assert differences([], PREFIX) == ()
