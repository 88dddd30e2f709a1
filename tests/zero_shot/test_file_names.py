"""File names from ids and paths never meet."""

from zero_shot.file_names import checkpoint_files, file_name


def test_ids_that_differ_get_names_that_differ_and_plain_ones_stay():
    ids = ["p1/s1", "p1_s1", "p1 s1", "p1//s1", "p1:s1", "p1-s1"]
    names = [file_name(one, "Edema") for one in ids]
    assert len(set(names)) == len(ids)
    assert names[-1] == "p1-s1_Edema"
    assert file_name("a", "Pleural Effusion") == "a_Pleural_Effusion"
    assert len({file_name("a", "b_c"), file_name("a", "b c"), file_name("a_b", "c")}) == 3
    assert all("/" not in name and ":" not in name for name in names)


def test_checkpoints_of_two_runs_that_are_called_the_same_get_files_of_their_own():
    assert checkpoint_files(["x/a.pt", "x/b.pt"]) == ["a", "b"]
    both = checkpoint_files(["runs/a/checkpoints/step_000100", "runs/b/checkpoints/step_000100"])
    assert [name[:13] for name in both] == ["a_step_000100", "b_step_000100"]
    assert both[0] != both[1]
    assert len(set(checkpoint_files(["x/a.pt", "y/a.pt", "z/b.pt"]))) == 3
