"""Writing the Android project: a sound bundle goes in, anything else is refused in one line."""

import os
import pathlib
import shutil

import pytest
from android_project import PROJECT
from broken_bundles import BROKEN
from golden_bundle import make_bundle

from export import android, check_bundle

ASSETS = pathlib.Path("app", "src", "main", "assets")


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


def _run(arguments: list, capfd) -> tuple[int, str, str]:
    try:
        code = android.main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        code = exit_.code
    out, err = capfd.readouterr()
    return code, out, err


def _files(folder: pathlib.Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_project_holds_the_template_and_the_bundle(bundle, tmp_path, capfd):
    code, out, err = _run([tmp_path / "app", "--bundle", bundle], capfd)
    assert (code, err) == (0, "")
    assert "3x2 uint8, 3 classes, 8 golden images" in out
    written = _files(tmp_path / "app")
    for name in _files(bundle).keys() - {"MODEL_CARD.md"}:
        assert written.pop((ASSETS / name).as_posix()) == (bundle / name).read_bytes()
    assert not any(name.startswith(ASSETS.as_posix()) for name in written)
    template = _files(PROJECT)
    assert written == {name: template[name] for name in written}
    for name in ("settings.gradle.kts", "gradle/libs.versions.toml", "README.md", ".gitignore"):
        assert name in written
    assert sorted(os.listdir(tmp_path)) == ["app", "bundle"]


def test_what_tools_left_in_the_template_stays_behind(bundle, tmp_path, monkeypatch):
    template = tmp_path / "template"
    shutil.copytree(PROJECT, template)
    for name in ("build/x.apk", "app/build/x.dex", ".gradle/x", "local.properties"):
        (template / name).parent.mkdir(parents=True, exist_ok=True)
        (template / name).write_text("left")
    (template / ASSETS).mkdir(exist_ok=True)
    (template / ASSETS / "model.tflite").write_text("of another bundle")
    monkeypatch.setattr(android, "_TEMPLATE", str(template))
    assert android.main([str(tmp_path / "app"), "--bundle", str(bundle)]) == 0
    written = _files(tmp_path / "app")
    assert not [name for name, content in written.items() if content == b"left"]
    assert written[(ASSETS / "model.tflite").as_posix()] == (bundle / "model.tflite").read_bytes()


def test_an_empty_folder_is_used(bundle, tmp_path, capfd):
    (tmp_path / "app").mkdir()
    assert _run([tmp_path / "app", "--bundle", bundle], capfd)[0] == 0
    assert (tmp_path / "app" / ASSETS / "golden.json").is_file()


def test_overwrite_replaces_the_bundle_and_nothing_else(bundle, tmp_path, capfd):
    target = tmp_path / "app"
    assert _run([target, "--bundle", bundle], capfd)[0] == 0
    (target / "notes.txt").write_text("old")
    (target / ASSETS / "mine.txt").write_text("own asset")
    (target / ASSETS / "images" / "old.png").write_text("of the bundle before")
    code, _, err = _run([target, "--bundle", bundle], capfd)
    assert (code, err.count("\n")) == (1, 1) and "--overwrite" in err
    assert (target / "notes.txt").read_text() == "old"
    assert _run([target, "--bundle", bundle, "--overwrite"], capfd)[0] == 0
    assert (target / "notes.txt").read_text() == "old"
    assert (target / ASSETS / "mine.txt").read_text() == "own asset"
    assert not (target / ASSETS / "images" / "old.png").exists()
    assert (target / ASSETS / "golden.json").is_file()


def test_overwrite_spares_foreign_folders(bundle, tmp_path, capfd):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_text("kept")
    code, _, err = _run([tmp_path / "photos", "--bundle", bundle, "--overwrite"], capfd)
    assert code == 1 and "only in a project that this command wrote" in err
    assert _files(tmp_path / "photos") == {"holiday.jpg": b"kept"}


def _expect_refusal(arguments: list, words: str, capfd, code: int = 1) -> None:
    received, out, err = _run(arguments, capfd)
    assert received == code and out == ""
    assert err.splitlines()[-1].startswith("error: ") and err.count("error: ") == 1 and words in err


@pytest.mark.parametrize("case", BROKEN)
def test_what_check_bundle_refuses_is_refused_in_the_same_words(case, bundle, tmp_path, capfd):
    BROKEN[case][0](bundle)
    before = sorted(os.listdir(tmp_path))
    assert check_bundle.main([str(bundle)]) == 1
    line = capfd.readouterr().err
    _expect_refusal([tmp_path / "app", "--bundle", bundle], line, capfd)
    assert sorted(os.listdir(tmp_path)) == before


def test_a_bundle_must_be_a_folder(bundle, tmp_path, capfd):
    _expect_refusal([tmp_path / "app", "--bundle", tmp_path / "none"], "must be a folder", capfd)
    file = bundle / "golden.json"
    _expect_refusal([tmp_path / "app", "--bundle", file], "must be a folder", capfd)


def test_the_target_must_lie_apart(bundle, tmp_path, capfd):
    for target in (bundle, bundle / "app", tmp_path, PROJECT, PROJECT / "app" / "new"):
        before = _files(bundle)
        _expect_refusal([target, "--bundle", bundle, "--overwrite"], "must lie apart", capfd)
        assert _files(bundle) == before


def test_the_target_must_be_a_folder(bundle, tmp_path, capfd):
    (tmp_path / "file").write_text("kept")
    _expect_refusal([tmp_path / "file", "--bundle", bundle, "--overwrite"], "or empty", capfd)
    assert (tmp_path / "file").read_text() == "kept"


def test_the_parent_of_the_target_must_exist(bundle, tmp_path, capfd):
    target = tmp_path / "none" / "app"
    _expect_refusal(
        [target, "--bundle", bundle],
        f"folder to write to must exist; make it first or name another. Received: {target}",
        capfd,
    )


def test_a_folder_without_the_right_to_write(bundle, tmp_path, capfd, monkeypatch):
    def deny(path, *_):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", deny)  # Root, too, must fail here.
    words = f"Received: {tmp_path} (Permission denied)\n"
    _expect_refusal([tmp_path / "app", "--bundle", bundle], words, capfd)


def test_a_full_disk_leaves_nothing(bundle, tmp_path, capfd, monkeypatch):
    def full(source, copy, **_):
        raise OSError(28, "No space left on device", copy)

    monkeypatch.setattr(shutil, "copyfile", full)
    _expect_refusal([tmp_path / "app", "--bundle", bundle], "No space left on device", capfd)
    assert os.listdir(tmp_path) == ["bundle"]


@pytest.mark.parametrize("arguments", [[], ["app"], ["--bundle", "b"], ["app", "--bundles", "b"]])
def test_wrong_usage(arguments, capfd):
    code, _, err = _run(arguments, capfd)
    assert code == 2 and err.startswith("error: ") and err.count("\n") == 1
