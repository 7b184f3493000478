"""Data folders as users have them: stray files, odd names, damaged images."""

import os
import unicodedata

import numpy as np
import pytest
from image_files import BAD, make_folder, save

from mobilenet_tf.cli import UsageError
from mobilenet_tf.data import folder as folders
from mobilenet_tf.data.datasets import DataConfig, FolderSource, default_image_size, open_source
from mobilenet_tf.data.folder import (
    check_folder,
    list_folder,
    match_classes,
    read_folder,
    split_folder,
)
from mobilenet_tf.data.store import ArrayImages, FileImages, balanced_indices

NFC = unicodedata.normalize("NFC", "café")
NFD = unicodedata.normalize("NFD", "café")
# What every reading of a folder gives, whatever way it is told.
NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.fixture
def root(tmp_path) -> str:
    return make_folder(tmp_path / "data", {"cat": 3, "dog": 2})


def _touch(*parts: str) -> None:
    os.makedirs(os.path.dirname(os.path.join(*parts)), exist_ok=True)
    with open(os.path.join(*parts), "wb"):
        pass


def test_listing(root):
    listed = list_folder(root)
    assert listed.root == root and listed.class_names == ("cat", "dog")
    assert listed.files == (
        ("cat/000.png", 0),
        ("cat/001.png", 0),
        ("cat/002.png", 0),
        ("dog/000.png", 1),
        ("dog/001.png", 1),
    )
    assert listed.ignored == listed.empty == ()


def test_images_may_lie_deeper(root):
    save(
        os.path.join(make_folder(root, {"dog/young": 0}), "dog/young/a.JPG"),
        np.zeros((9, 9, 3), "u1"),
    )
    assert ("dog/young/a.JPG", 1) in list_folder(root).files


def test_stray_files_are_named_and_hidden_ones_are_not(root):
    for path in ("readme.txt", "cat/notes.txt", "cat/.DS_Store", "dog/Thumbs.db", ".hidden"):
        _touch(root, path)
    _touch(root, "loose.jpg")
    _touch(root, "__MACOSX", "cat", "._000.png")
    _touch(root, ".git", "x.png")
    _touch(root, "cat", ".cache", "x.png")
    listed = list_folder(root)
    assert listed.class_names == ("cat", "dog") and len(listed.files) == 5
    assert sorted(listed.ignored) == ["__MACOSX", "cat/notes.txt", "loose.jpg", "readme.txt"]
    (note,) = check_folder(listed, skip_bad_images=False)
    assert note.startswith("ignored 4 other files") and "cat/notes.txt" in note


def test_a_folder_named_like_an_image_is_a_folder(root):
    os.makedirs(os.path.join(root, "cat", "x.jpg"))
    save(os.path.join(root, "cat", "x.jpg", "in.png"), np.zeros((9, 9, 3), np.uint8))
    files = [path for path, _ in list_folder(root).files]
    assert "cat/x.jpg/in.png" in files and "cat/x.jpg" not in files


def test_many_names_are_cut_short(root):
    for number in range(9):
        _touch(root, "cat", f"{number}.txt")
    (note,) = check_folder(list_folder(root), False)
    assert "ignored 9" in note and "cat/4.txt and 4 more" in note and "5.txt" not in note


def test_empty_classes_are_an_error_that_can_be_skipped(root):
    os.makedirs(os.path.join(root, "bird"))
    _touch(root, "fish", "notes.txt")
    listed = list_folder(root)
    assert listed.class_names == ("cat", "dog") and listed.empty == ("bird", "fish")
    with pytest.raises(ValueError, match="--skip-bad-images. Received: bird, fish in "):
        check_folder(listed, skip_bad_images=False)
    notes = check_folder(listed, skip_bad_images=True)
    assert "left out class folders without images: bird, fish" in notes


@pytest.mark.parametrize(
    "counts, found",
    [({}, "none among 0 subfolders"), ({"cat": 2}, "cat"), ({"a": 0, "b": 0}, "none among 2")],
)
def test_fewer_than_two_classes(tmp_path, counts, found):
    root = make_folder(tmp_path, counts)
    with pytest.raises(ValueError, match=f"at least 2 subfolders.*Received: .* with {found}"):
        list_folder(root)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_no_folder(tmp_path, kind):
    _touch(str(tmp_path), "file")
    with pytest.raises(NotADirectoryError, match=f"Received: .*{kind}"):
        list_folder(str(tmp_path / kind))


def test_a_folder_that_cannot_be_opened_is_no_empty_one(root, monkeypatch):
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="cat"):
        list_folder(root)


@pytest.mark.parametrize(
    "name", [NFC, NFD, "emoji 🦜", "  spaces  ", "日本", "a,b;c'\"", "-x", "%41"]
)
def test_unusual_names_work(tmp_path, name):
    root = make_folder(tmp_path, {name: 1, "zebra": 1})
    os.rename(os.path.join(root, name, "000.png"), os.path.join(root, name, f"{name}.png"))
    listed = list_folder(root)
    assert set(listed.class_names) == {name, "zebra"}
    split, bad = read_folder(listed, 16)
    assert len(split) == 2 and not bad
    assert os.path.join(root, name, f"{name}.png") in split.names


@pytest.mark.parametrize("name", ["two\nlines", "two\u2028lines", "bell\x0cfeed", NOT_UTF8])
def test_names_that_cannot_be_labels_are_refused(tmp_path, name):
    root = make_folder(tmp_path, {name: 1, "zebra": 1})
    with pytest.raises(ValueError, match="UTF-8, without line breaks.*Received: ") as caught:
        list_folder(root)
    assert ascii(name) in str(caught.value)


def test_class_names_that_look_alike_are_refused(tmp_path):
    root = make_folder(tmp_path, {NFC: 1, NFD: 1})
    with pytest.raises(ValueError, match="encoding of accents.*Received: two of"):
        list_folder(root)


def test_file_names_that_are_not_utf8(root):
    odd = os.path.join(root, "cat", f"{NOT_UTF8}.png")
    os.rename(os.path.join(root, "cat", "000.png"), odd)
    listed = list_folder(root)
    train, validation = split_folder(listed, 0.5, 0)
    assert len(train.files) + len(validation.files) == 5
    assert odd in read_folder(listed, 16)[0].names


def test_validation_labels_are_renumbered(tmp_path):
    root = make_folder(tmp_path, {"bird": 1, "dog": 2})
    matched = match_classes(list_folder(root), ("ant", "bird", "cat", "dog"))
    assert matched.class_names == ("ant", "bird", "cat", "dog")
    assert matched.files == (("bird/000.png", 1), ("dog/000.png", 3), ("dog/001.png", 3))


def test_validation_classes_match_however_accents_are_encoded(tmp_path):
    listed = list_folder(make_folder(tmp_path, {NFD: 1, "zebra": 1}))
    matched = match_classes(listed, (NFC, "zebra"))
    assert matched.class_names == (NFC, "zebra")
    assert [label for _, label in matched.files] == [0, 1]


def test_unknown_validation_classes_are_refused(root):
    with pytest.raises(ValueError, match="the training folder's classes.*Received: dog$"):
        match_classes(list_folder(root), ("cat", "bird"))


def _listed(counts: dict[str, int]) -> folders.Folder:
    names = tuple(counts)
    files = [(f"{name}/{k}.png", i) for i, name in enumerate(names) for k in range(counts[name])]
    return folders.Folder("root", names, tuple(files), (), ())


def test_split_takes_its_share_of_every_class():
    listed = _listed({"a": 50, "b": 10, "c": 2})
    train, validation = split_folder(listed, 0.2, seed=0)
    assert np.bincount([label for _, label in validation.files]).tolist() == [10, 2, 1]
    assert sorted(train.files + validation.files) == sorted(listed.files)
    assert list(train.files) == [entry for entry in listed.files if entry in train.files]


@pytest.mark.parametrize("fraction, expected", [(0.0, 1), (0.99, 3)])
def test_split_leaves_one_on_either_side(fraction, expected):
    _, validation = split_folder(_listed({"a": 4, "b": 4}), fraction, seed=0)
    assert np.bincount([label for _, label in validation.files]).tolist() == [expected] * 2


def test_split_depends_on_the_seed_alone():
    listed = _listed({"a": 50, "b": 50})
    first, again, other = (split_folder(listed, 0.2, seed)[1].files for seed in (3, 3, 4))
    assert first == again != other


def test_split_moves_few_when_images_are_added():
    before = set(split_folder(_listed({"a": 100, "b": 5}), 0.2, 0)[1].files)
    after = set(split_folder(_listed({"a": 110, "b": 5}), 0.2, 0)[1].files)
    moved = [path for path, label in before - after]
    # 22 of 110 validate: every newcomer among them pushes out at most one.
    assert len(moved) <= 10 and len(after - before) <= 12
    grown = split_folder(_listed({"a": 100, "b": 5, "c": 9}), 0.2, 0)[1].files
    assert {entry for entry in grown if entry[1] < 2} == before


def test_split_is_the_same_on_both_kinds_of_file_system():
    def held_out(name):
        validation = split_folder(_listed({name: 20, "b": 2}), 0.5, 0)[1]
        return [unicodedata.normalize("NFC", path) for path, _ in validation.files]

    assert held_out(NFC) == held_out(NFD)


def test_split_needs_two_images_of_each_class():
    with pytest.raises(ValueError, match="at least 2 images.*Received: b with 1"):
        split_folder(_listed({"a": 4, "b": 1}), 0.2, 0)


def test_reading_gives_pixels_labels_and_names(tmp_path):
    for name, value in (("a", 10), ("b", 200)):
        os.makedirs(tmp_path / name)
        save(tmp_path / name / "x.png", np.full((20, 30, 3), value, np.uint8))
    split, bad = read_folder(list_folder(str(tmp_path)), 16)
    assert isinstance(split.images, ArrayImages) and not bad
    pixels = split.images.fetch(np.array([1, 0]))
    assert pixels.shape == (2, 16, 16, 3) and pixels.dtype == np.uint8
    assert (pixels[0] == 200).all() and (pixels[1] == 10).all()
    assert split.labels.tolist() == [0, 1]
    assert list(split.names) == [str(tmp_path / "a/x.png"), str(tmp_path / "b/x.png")]


def test_data_too_large_for_memory_stays_in_files(root, monkeypatch):
    BAD["cut.png"][0](os.path.join(root, "cat", "cut.png"))
    in_memory, _ = read_folder(list_folder(root), 16)
    monkeypatch.setattr(folders, "fits_in_memory", lambda count, image_size: False)
    in_files, bad = read_folder(list_folder(root), 16)
    assert isinstance(in_files.images, FileImages) and len(bad) == 1
    order = np.array([4, 0, 2])
    np.testing.assert_array_equal(in_files.images.fetch(order), in_memory.images.fetch(order))
    np.testing.assert_array_equal(in_files.labels, in_memory.labels)


@pytest.fixture
def damaged(tmp_path) -> str:
    """Two sound classes of twenty images each, and every kind of bad file in one of them."""
    root = make_folder(tmp_path / "damaged", {"cat": 20, "dog": 20})
    for name, (make, _) in BAD.items():
        make(os.path.join(root, "dog", name))
    return root


def test_every_bad_image_is_named_with_its_reason(damaged):
    split, bad = read_folder(list_folder(damaged), 16)
    assert len(split) == 40 and len(split.images) == 40
    assert len(bad) == len(BAD)
    for name, (_, reason) in BAD.items():
        (entry,) = [entry for entry in bad if f"/dog/{name} (" in entry]
        assert reason in entry and entry.count(damaged) == 1


def test_bad_images_of_both_parts_are_reported_at_once(damaged):
    source = FolderSource(DataConfig(dataset=damaged, val_fraction=0.5))
    parts = [source._train.files, source._validation.files]
    assert all(any(os.path.basename(path) in BAD for path, _ in part) for part in parts)
    with pytest.raises(ValueError, match=f"Received: {len(BAD)} unreadable: .*dog") as caught:
        source.read_train(16)
    assert "--skip-bad-images" in str(caught.value)


def test_drawing_reads_no_other_image(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "data", {"cat": 12, "dog": 6})
    source = FolderSource(DataConfig(dataset=root))
    train = source.read_train(16)
    expected = train.images.fetch(balanced_indices(train.labels, 7, seed=3))
    read = []
    load = folders.load_image
    monkeypatch.setattr(
        folders, "load_image", lambda path, size: read.append(path) or load(path, size)
    )
    np.testing.assert_array_equal(source.draw_train(16, 7, seed=3), expected)
    assert len(set(read)) == 7
    assert len(source.draw_train(16, 1000, seed=3)) == len(train)


def test_drawn_images_must_be_readable(damaged):
    with pytest.raises(ValueError, match="unreadable: "):
        FolderSource(DataConfig(dataset=damaged)).draw_train(16, 1000, seed=0)
    skipping = FolderSource(DataConfig(dataset=damaged, skip_bad_images=True))
    assert len(skipping.draw_train(16, 1000, seed=0)) == len(skipping.read_train(16))


def test_bad_validation_images_are_reported(root, tmp_path):
    validation = make_folder(tmp_path / "val", {"cat": 1, "dog": 1})
    BAD["text.jpg"][0](os.path.join(validation, "dog", "text.jpg"))
    source = FolderSource(DataConfig(dataset=root, val_dataset=validation))
    source.read_train(16)
    with pytest.raises(ValueError, match=r"Received: 1 unreadable: .*text.jpg \(not an image\)"):
        source.read_validation(16)


def test_skipping_goes_on_without_them_and_says_so(damaged):
    source = FolderSource(DataConfig(dataset=damaged, skip_bad_images=True))
    train, validation = source.read_train(16), source.read_validation(16)
    assert len(train) + len(validation) == 40
    assert not {os.path.basename(name) for name in (*train.names, *validation.names)} & set(BAD)
    left_out = [note for note in source.notes if note.startswith("left out")]
    assert len(left_out) == len(BAD)
    assert all(any(f"/{name} (" in note for note in left_out) for name in BAD)


def test_a_class_that_loses_all_training_images_is_an_error(root):
    for number in range(2):
        BAD["text.jpg"][0](os.path.join(root, "dog", f"00{number}.png"))
    source = FolderSource(DataConfig(dataset=root, skip_bad_images=True))
    with pytest.raises(ValueError, match="readable images. Received: none of dog in"):
        source.read_train(16)


def test_a_class_may_lose_its_validation_images(root):
    source = FolderSource(DataConfig(dataset=root, skip_bad_images=True))
    ((held_out, _),) = [entry for entry in source._validation.files if entry[1] == 1]
    BAD["text.jpg"][0](os.path.join(root, held_out))
    assert sorted(set(source.read_train(16).labels)) == [0, 1]
    assert set(source.read_validation(16).labels) == {0}


def test_no_validation_image_left_is_an_error(root, tmp_path):
    validation = make_folder(tmp_path / "val", {"cat": 1, "dog": 1})
    for name in ("cat", "dog"):
        BAD["text.jpg"][0](os.path.join(validation, name, "000.png"))
    config = DataConfig(dataset=root, val_dataset=validation, skip_bad_images=True)
    with pytest.raises(ValueError, match="Received: none of cat, dog in"):
        FolderSource(config).read_validation(16)


def test_size_of_a_folder_is_the_median_of_shorter_sides(tmp_path):
    for name, sides in (("a", [(64, 100), (70, 64)]), ("b", [(500, 64), (10, 10)])):
        os.makedirs(tmp_path / name)
        for i, side in enumerate(sides):
            save(tmp_path / name / f"{i}.png", np.zeros((*side, 3), np.uint8))
    BAD["text.jpg"][0](str(tmp_path / "a" / "bad.jpg"))
    source = FolderSource(DataConfig(dataset=str(tmp_path), val_dataset=str(tmp_path)))
    assert source.native_size == 64


@pytest.mark.parametrize(
    "native, expected",
    [(None, 224), (1, 32), (32, 32), (63, 32), (64, 64), (100, 96), (224, 224), (4000, 224)],
)
def test_default_input_size(native, expected):
    assert default_image_size(native) == expected


def test_a_folder_takes_no_splits(root):
    with pytest.raises(UsageError, match="use --val-dataset or --val-fraction"):
        open_source(DataConfig(dataset=root, train_split="train"))
