"""Helpers of the Android tests: where things are, what the resources are called."""

import pathlib
import re
import xml.etree.ElementTree as ElementTree

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
PROJECT = REPOSITORY / "android"
MAIN = PROJECT / "app" / "src" / "main"
RESOURCES = MAIN / "res"
ANDROID = "{http://schemas.android.com/apk/res/android}"


def xml_files() -> list[pathlib.Path]:
    """The manifest and all resource files."""
    return [MAIN / "AndroidManifest.xml", *sorted(RESOURCES.glob("*/*.xml"))]


def kotlin_files() -> list[pathlib.Path]:
    """All Kotlin sources, the instrumented test's too."""
    return sorted((PROJECT / "app" / "src").glob("**/*.kt"))


def resources() -> set[str]:
    """What the resource files declare, as type/name."""
    names = set()
    for path in RESOURCES.glob("*/*.xml"):
        kind = path.parent.name.split("-")[0]
        if kind == "values":
            names |= {
                f"{item.tag}/{item.get('name')}" for item in ElementTree.parse(path).getroot()
            }
        else:
            names.add(f"{kind}/{path.stem}")
        names |= {f"id/{name}" for name in re.findall(r'"@\+id/(\w+)"', path.read_text())}
    return names


def catalog_accessor(alias: str) -> str:
    """How Gradle files spell an alias of the version catalog."""
    return re.sub("[-_]", ".", alias)
