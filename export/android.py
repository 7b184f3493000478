"""Writes the Android app with a golden bundle in place, ready for Android Studio."""

import os
import shutil
import sys

from export import golden
from export.check_bundle import CheckedBundle, check_bundle
from mobilenet_tf import cli, files

_TEMPLATE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "android")
_ASSETS = os.path.join("app", "src", "main", "assets")
# What tools leave in a project that was opened or built; none of it is source.
_LEFTOVERS = shutil.ignore_patterns(
    ".gradle", ".idea", ".kotlin", "build", "local.properties", "assets", "__pycache__"
)


def write_project(target: str, bundle: CheckedBundle, overwrite: bool = False) -> list[str]:
    """Writes the project, whole or not at all.

    Args:
        target: folder to make; may exist if it is empty.
        bundle: from `check_bundle.check_bundle`.
        overwrite: whether the bundle in a project that this function wrote may
            be replaced; everything else of the project stays as it is.

    Returns:
        The written files, by path inside `target`, sorted.

    Raises:
        ValueError: a target that must not be written to.
        OSError: no right to write, or no space; nothing is left.
    """
    target = os.path.abspath(target)
    _check_target(target, bundle.folder, overwrite)
    with files.staging(target) as temporary:
        new, old = os.path.join(temporary, "new"), os.path.join(temporary, "old")
        if os.path.isdir(os.path.join(target, _ASSETS)):  # Edited since, perhaps: keep all else.
            _renew_assets(os.path.join(target, _ASSETS), new, old, bundle)
        else:
            shutil.copytree(_TEMPLATE, new, ignore=_LEFTOVERS)
            _copy_bundle(bundle, os.path.join(new, _ASSETS))
            _swap(new, target, old)
    return sorted(
        os.path.relpath(os.path.join(parent, name), target)
        for parent, _, names in os.walk(target)
        for name in names
    )


def _renew_assets(assets: str, new: str, old: str, bundle: CheckedBundle) -> None:
    """Replaces the bundle in a project's assets; what is not of a bundle stays."""

    def of_bundles(folder: str, names: list[str]) -> set[str]:
        known = {golden.MODEL, golden.LABELS, golden.GOLDEN, golden.IMAGES}
        return known & set(names) if os.path.samefile(folder, assets) else set()

    shutil.copytree(assets, new, ignore=of_bundles)
    _copy_bundle(bundle, new)
    _swap(new, assets, old)


def _check_target(target: str, bundle: str, overwrite: bool) -> None:
    if not os.path.isdir(_TEMPLATE):
        raise ValueError(f"run this from a checkout of the project. Received: no {_TEMPLATE}")
    for source, what in ((bundle, "the bundle"), (_TEMPLATE, "the project's own android/")):
        if _contains(source, target) or _contains(target, source):
            raise ValueError(f"DIR and {what} must lie apart; name another. Received: {target}")
    if os.path.islink(target) or (os.path.exists(target) and not os.path.isdir(target)):
        raise ValueError(f"DIR must be a new or empty folder; name another. Received: {target}")
    if not os.path.isdir(target) or not os.listdir(target):
        return
    if not overwrite:
        raise ValueError(
            "DIR must be a new or empty folder; pass --overwrite or name another. "
            f"Received: {target}"
        )
    if not os.path.isfile(os.path.join(target, _ASSETS, golden.GOLDEN)):
        raise ValueError(
            "--overwrite replaces the bundle only in a project that this command wrote; name "
            "another DIR. "
            f"Received: {target}"
        )


def _contains(outer: str, inner: str) -> bool:
    outer, inner = os.path.realpath(outer), os.path.realpath(inner)
    return os.path.commonpath([outer, inner]) == outer


def _copy_bundle(bundle: CheckedBundle, assets: str) -> None:
    for name in bundle.asset_names:
        copy = os.path.join(assets, *name.split("/"))
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        shutil.copyfile(os.path.join(bundle.folder, *name.split("/")), copy)


def _swap(project: str, target: str, replaced: str) -> None:
    """Renames the new project onto the target; the old one comes back if that fails."""
    if not os.path.exists(target):
        os.rename(project, target)
        return
    os.rename(target, replaced)
    try:
        os.rename(project, target)
    except OSError:
        os.rename(replaced, target)
        raise


@cli.exits
def main(argv: list[str] | None = None) -> int:
    """Replays the bundle and writes the project; returns the exit code."""
    parser = cli.parser(__doc__, prog="python -m export.android")
    parser.add_argument("target", metavar="DIR", help="new or empty folder for the project")
    parser.add_argument(
        "--bundle", metavar="B", required=True, help="folder of a golden bundle; it is only read"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the bundle in a project that this command wrote",
    )
    args = parser.parse_args(argv)
    bundle = check_bundle(args.bundle)
    written = write_project(args.target, bundle, args.overwrite)
    content = bundle.content
    print(
        f"{args.target}: {len(written)} files; model of {content.width}x{content.height} "
        f"{content.dtype}, {len(bundle.class_names)} classes, {len(content.images)} golden images"
    )
    print("next: open the project in Android Studio; see its README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
