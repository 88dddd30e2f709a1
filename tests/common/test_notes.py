"""Notes go to stderr, once for all processes of a job."""

import pytest

from common.notes import note


@pytest.mark.parametrize(("rank", "said"), [(None, "note: taken is 3\n"), ("0", "note: taken is 3\n"), ("1", "")])
def test_a_note_is_one_line_on_stderr_of_the_first_process(rank, said, capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    note("taken is 3")
    assert capsys.readouterr() == ("", said)
