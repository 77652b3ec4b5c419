"""What is pushed to the Hub, and what a failing push leaves there and prints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lit_mlm.errors import InputError
from lit_mlm.inference.publish import UnreachableError, check_access, check_repo_id, push_folder
from tests.hub_server import Hub, Repo, make_env, run_hub, use_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of huggingface_hub, for Git LFS

NAME = "user/bert"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "hf", {"model.safetensors": b"weights" * 1000})


def write_model(folder: Path, weights: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in ({"config.json": b"{}", "README.md": b"---\ntags: [lit-mlm]\n---\n"} | weights).items():
        (folder / name).write_bytes(content)
    return folder


def read_folder(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def get_repo(hub: Hub) -> Repo:
    return hub.repos["models", NAME]


def get_files(hub: Hub, revision: str = "main") -> dict[str, bytes]:
    """The files of the repository without the one that the Hub adds."""
    return {name: content for name, content in get_repo(hub).files(revision).items() if name != ".gitattributes"}


def test_repository_has_the_files_of_the_folder(hub: Hub, folder: Path) -> None:
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    done = push_folder(folder, NAME, "First", private=True)
    assert done == (f"{hub.url}/{NAME}", get_repo(hub).branches["main"])
    assert get_files(hub) == get_files(hub, done.revision) == read_folder(folder)
    assert get_repo(hub).messages == ["First"]
    assert get_repo(hub).private


def test_unchanged_files_are_not_sent_and_old_weights_go_in_the_same_commit(hub: Hub, folder: Path) -> None:
    first = push_folder(folder, NAME)
    assert push_folder(folder, NAME) == first
    get_repo(hub).commit("by hand", get_repo(hub).files() | {"eval.json": b"{}", "merges.txt": b""})
    (folder / "model.safetensors").unlink()
    shards = {f"model-0000{i}-of-00002.safetensors": bytes(i) for i in (1, 2)} | {"model.safetensors.index.json": b"{}"}
    push_folder(write_model(folder, shards), NAME, "Shards")
    assert get_files(hub) == read_folder(folder) | {"eval.json": b"{}", "merges.txt": b""}
    push_folder(folder, NAME)
    assert get_repo(hub).messages == ["Upload model", "by hand", "Shards"]
    assert get_files(hub, first.revision)["model.safetensors"] == b"weights" * 1000
    assert hub.count("PUT /lfs") == 3


def test_branch_is_created_once_and_main_stays(hub: Hub, folder: Path) -> None:
    first = push_folder(folder, NAME)
    (folder / "config.json").write_text('{"a": 1}')
    for _ in range(2):
        done = push_folder(folder, NAME, branch="epoch/3")
    assert done.url == f"{hub.url}/{NAME}/tree/epoch/3"
    assert get_files(hub, "epoch/3")["config.json"] == b'{"a": 1}'
    assert get_repo(hub).branches["main"] == first.revision


def test_nothing_private_goes_to_a_public_repository(hub: Hub, folder: Path) -> None:
    hub.add_repo("models", NAME)
    with pytest.raises(InputError, match=r"user/bert exists and is public"):
        push_folder(folder, NAME, private=True)
    assert get_repo(hub).messages == []


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("POST .*/commit/main", {"status": 503}),
        ("POST .*/commit/main", {}),
        ("POST .*/commit/main", {"status": 504, "after": True}),  # the first attempt made the commit
        ("POST .*/repos/create", {"status": 500}),
        ("GET /api/models", {"status": 502, "body": "<html>"}),
        ("POST /api/validate-yaml", {"status": 503, "body": "<html>"}),
        ("POST .*/preupload", {"status": 500}),
        ("POST .*/objects/batch", {}),
        ("PUT /lfs", {"status": 500}),
        ("PUT /lfs", {}),
        ("POST /verify", {"status": 503}),
        ("POST .*/commit/main", {"status": 412}),
    ],
)
def test_passing_failures_are_repeated(
    pattern: str, fault: dict[str, int], hub: Hub, folder: Path, waits: list[float]
) -> None:
    hub.fail(pattern, times=1, **fault)
    push_folder(folder, NAME)
    assert len(waits) == 1
    assert get_files(hub) == read_folder(folder)
    assert get_repo(hub).messages == ["Upload model"]


@pytest.mark.parametrize("headers", [{"Retry-After": "7"}, {"ratelimit": '"api";r=0;t=7'}])
def test_waits_as_long_as_the_hub_asks(headers: dict[str, str], hub: Hub, folder: Path, waits: list[float]) -> None:
    hub.fail("commit", 429, times=2, headers=headers)
    push_folder(folder, NAME)
    assert waits == [7, 7]


def test_does_not_wait_for_hours(hub: Hub, folder: Path, waits: list[float]) -> None:
    hub.fail("commit", 429, headers={"Retry-After": "3600"})
    with pytest.raises(UnreachableError, match="the Hub answers 429; repeat the command later"):
        push_folder(folder, NAME)
    assert waits == []


@pytest.mark.parametrize("pattern", ["POST .*/repos/create", "PUT /lfs", "POST .*/commit"])
@pytest.mark.parametrize("status", [0, 503])
def test_gives_up_and_the_next_push_completes_it(
    status: int, pattern: str, hub: Hub, folder: Path, waits: list[float]
) -> None:
    fault = hub.fail(pattern, status)
    before = read_folder(folder)
    with pytest.raises(UnreachableError, match=rf"{NAME}: .*repeat the command later"):
        push_folder(folder, NAME)
    assert sum(waits) < 120
    if "create" not in pattern:
        assert get_repo(hub).messages == []
        assert get_files(hub) == {}
    fault.times = 0
    push_folder(folder, NAME)
    assert get_files(hub) == read_folder(folder) == before


@pytest.mark.parametrize(
    ("pattern", "status", "message"),
    [
        ("whoami", 401, "user/bert: the token is not valid: run hf auth login"),
        ("commit", 401, "user/bert: the token is not valid: run hf auth login"),
        ("commit", 403, "user/bert: the token may not write there: use one with write access"),
        ("GET /api/models", 404, "user/bert: there is no such repository"),
        ("commit", 409, "user/bert: the name is taken, or another change is under way"),
        ("objects/batch", 402, r"user/bert: nothing was pushed \(the Hub answers 402: pay TOKEN\)"),
    ],
)
def test_refusals_say_what_to_do_at_once(
    pattern: str, status: int, message: str, hub: Hub, folder: Path, waits: list[float]
) -> None:
    hub.fail(pattern, status, body='{"error": "pay hf_owner"}')
    with pytest.raises(InputError, match=message) as raised:
        check_access(NAME) if pattern == "whoami" else push_folder(folder, NAME)
    assert not isinstance(raised.value, UnreachableError)
    assert waits == []
    assert "\n" not in str(raised.value)


def test_access_is_checked_by_one_request(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    check_access(NAME)
    check_access("User/bert")
    with pytest.raises(InputError, match=r"the token may write to user, not to usr; did you mean user\?"):
        check_access("usr/bert")
    monkeypatch.setenv("HF_TOKEN", "hf_reader")
    with pytest.raises(InputError, match="the token may not write there: use one with write access"):
        check_access(NAME)
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    with pytest.raises(InputError, match="the token is not valid"):
        check_access(NAME)
    assert hub.count("whoami") == len([request for request in hub.requests if "agent" not in request]) == 5
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(InputError, match="there is no token for the Hub: run hf auth login, or set HF_TOKEN"):
        check_access(NAME)


def test_hub_that_can_not_be_reached(folder: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> None:
    with run_hub() as hub:
        pass
    monkeypatch.setenv("HF_TOKEN", "hf_owner")
    with pytest.raises(UnreachableError, match="HF_HUB_OFFLINE is set"):
        check_access(NAME)
    use_hub(hub, monkeypatch)
    with pytest.raises(UnreachableError, match=r"the Hub can't be reached \(.*refused.*\); repeat"):
        check_access(NAME)


@pytest.mark.parametrize("name", ["bert", "a/b/c", "user/be rt", "user/../x", "user/b--c", "", "-/-"])
def test_names_are_checked_without_a_request(name: str) -> None:
    with pytest.raises(InputError, match="--push_to_hub"):
        check_repo_id("--push_to_hub", name)


def test_folder_without_a_model(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json"):
        push_folder(tmp_path, NAME)
    assert hub.requests == []


@pytest.mark.parametrize("pattern", ["PUT /lfs", "POST .*/commit"])  # while the weights are sent, and after
def test_killed_push_is_completed_by_the_next(pattern: str, hub: Hub, folder: Path) -> None:
    hub.fail(pattern, times=1, seconds=1.0, status=500)
    code = "import sys; from pathlib import Path; from lit_mlm.inference.publish import push_folder"
    code += "; push_folder(Path(sys.argv[1]), sys.argv[2])"
    process = subprocess.Popen([sys.executable, "-c", code, folder, NAME], env=os.environ | make_env(hub))
    hub.wait_for(pattern)
    process.kill()
    process.wait()
    assert get_files(hub) == {}
    push_folder(folder, NAME)
    assert get_files(hub) == read_folder(folder)
    assert hub.count("PUT") == 1 + ("PUT" in pattern)
