"""A file is written in the directory that the DAG author wrote; templated data in the name cannot change that."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_secoda._storage.target import resolve_prefix, resolve_target
from airflow_provider_secoda._storage.write import write_atomically

RECORD = b'{"id":"a"}'
_STEPS = st.sampled_from([
    *["..", ".", "/", "\\", "//", "x", "\0", "\n", "%2e%2e", "%2f", "~", "$HOME", "://", "s3://", "file:///"],
    *["\uff0e\uff0e", "a.b", ":", "?", "#", "{start}", " ", "\u2024\u2024", "\x7f", "..;", "...", ".."],
])  # fmt: skip


@given(data=st.one_of(st.text(max_size=20), st.lists(_STEPS, max_size=6).map("".join)))
def test_data_in_a_name_does_not_choose_the_folder(tmp_path_factory, data):
    """For any data after a fixed beginning: an error before anything is touched, or a file somewhere below it."""
    folder = tmp_path_factory.mktemp("landing")
    inside = folder / "fixed"
    try:
        write_atomically([RECORD], f"{inside}/{data}/logs.jsonl")
    except (ValueError, OSError):
        pass
    for path in folder.rglob("*"):
        assert path == inside or inside in path.parents
    landed = [path for path in folder.rglob("logs.jsonl") if path.is_file()]
    assert all(os.path.realpath(path).startswith(str(inside)) for path in landed)


@pytest.mark.parametrize("start", ["{}/", "file://{}/", "local://{}/", "s3://my_conn@bucket/fixed/"])
@pytest.mark.parametrize("data", ["../x", "a/../../x", "..\\x", "a/..", "x\0y", "x\ny", "x\x1b[2Jy", "\x7f"], ids=ascii)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path, start, data):
    """`..` and control characters are refused before the storage is accessed, for each kind of storage."""
    with pytest.raises(ValueError, match=r"contains `\.\.`|control character") as error:
        resolve_target(f"{start.format(tmp_path)}{data}/logs.jsonl")
    assert str(error.value).isprintable()


@pytest.mark.parametrize("start", ["{}/", "file://{}/"])
def test_a_user_may_write_dots(tmp_path, start):
    """A path typed at a prompt may contain `..`, but no control characters."""
    (tmp_path / "a").mkdir()
    (tmp_path / "logs.jsonl").write_bytes(RECORD)
    path = start.format(tmp_path) + "a/../logs.jsonl"
    target = resolve_prefix(path)
    assert target.exists()
    assert target.identity == resolve_target(str(tmp_path / "logs.jsonl")).identity
    assert [file.name for file in target.files()] == [path]
    with pytest.raises(ValueError, match="control character"):
        resolve_prefix(f"{path}\x1b")


def test_a_link_at_the_path_is_replaced(tmp_path):
    """A symbolic link under the file's name is replaced by the file; its target is not changed."""
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    (tmp_path / "logs.jsonl").symlink_to(secret)
    write_atomically([RECORD], str(tmp_path / "logs.jsonl"))
    assert secret.read_text() == "untouched"
    assert not (tmp_path / "logs.jsonl").is_symlink()
    assert (tmp_path / "logs.jsonl").read_bytes() == RECORD + b"\n"


def test_a_link_at_the_hidden_name_is_not_followed(tmp_path, monkeypatch):
    """A symbolic link at the hidden name, if somebody guesses it, is not followed."""
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / "_manifests").mkdir()
    (tmp_path / "_manifests" / ".secoda-guessed.part").symlink_to(secret)
    with pytest.raises(FileExistsError):
        write_atomically([RECORD], str(tmp_path / "logs.jsonl"))
    assert secret.read_text() == "untouched"
