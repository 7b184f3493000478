"""What can be known of the Android project without building it."""

import re
import tomllib
import xml.etree.ElementTree as ElementTree

import pytest
from android_project import (
    ANDROID,
    MAIN,
    PROJECT,
    REPOSITORY,
    RESOURCES,
    catalog_accessor,
    kotlin_files,
    resources,
    xml_files,
)

from export import golden as bundle

TOOLS = "{http://schemas.android.com/tools}"
GRADLE_FILES = [PROJECT / name for name in ("build.gradle.kts", "app/build.gradle.kts")]


@pytest.fixture(scope="module")
def catalog():
    return tomllib.loads((PROJECT / "gradle" / "libs.versions.toml").read_text())


@pytest.fixture(scope="module")
def app_gradle():
    return (PROJECT / "app" / "build.gradle.kts").read_text()


@pytest.mark.parametrize("path", xml_files(), ids=lambda path: str(path.relative_to(MAIN)))
def test_xml_is_well_formed(path):
    assert ElementTree.parse(path).getroot().tag


def test_every_reference_leads_to_a_resource():
    declared, used = resources(), set()
    for path in xml_files():
        used |= set(re.findall(r'[">]@(?!android:)(\w+/\w+)', path.read_text()))
    for path in kotlin_files():
        used |= {
            f"{kind}/{name}" for kind, name in re.findall(r"\bR\.(\w+)\.(\w+)", path.read_text())
        }
    assert len(used) > 20
    assert {name for name in used if "/" in name} - declared == set()


def test_every_resource_is_used():
    text = "\n".join(path.read_text() for path in [*xml_files(), *kotlin_files()])
    unused = {
        name
        for name in resources()
        if f"@{name}" not in text and f"R.{name.replace('/', '.')}" not in text
    }
    assert unused == set()


def test_night_only_overrides():
    for path in (RESOURCES / "values-night").glob("*.xml"):
        day = {
            item.get("name")
            for item in ElementTree.parse(RESOURCES / "values" / path.name).getroot()
        }
        night = {item.get("name") for item in ElementTree.parse(path).getroot()}
        assert night <= day


def test_format_arguments_of_strings_match_their_use():
    kotlin = "\n".join(path.read_text() for path in kotlin_files())
    for item in ElementTree.parse(RESOURCES / "values" / "strings.xml").getroot():
        wanted = len(set(re.findall(r"%(\d)\$", item.text)))
        call = re.search(rf"getString\(R\.string\.{item.get('name')}((?:, [^,()]+)*)\)", kotlin)
        if call:
            calls = re.findall(r", ", call.group(1))
            assert len(calls) == wanted, item.get("name")


def test_the_manifest_names_classes_that_exist_and_allows_no_network():
    root = ElementTree.parse(MAIN / "AndroidManifest.xml").getroot()
    permissions = {
        item.get(f"{ANDROID}name").rpartition(".")[2]: item.get(f"{TOOLS}node")
        for item in root.iter("uses-permission")
    }
    assert [name for name, node in permissions.items() if node != "remove"] == ["CAMERA"]
    assert permissions["INTERNET"] == permissions["ACCESS_NETWORK_STATE"] == "remove"
    camera = root.find("uses-feature")
    assert camera.get(f"{ANDROID}required") == "false"
    activities = [item.get(f"{ANDROID}name") for item in root.iter("activity")]
    assert activities == [".MainActivity"]
    assert root.find("application/activity").get(f"{ANDROID}exported") == "true"
    source = MAIN / "kotlin" / "org" / "mobilenettf" / "app" / "MainActivity.kt"
    assert re.search(r"^class MainActivity\b", source.read_text(), re.MULTILINE)


def test_packages_folders_and_namespace_agree(app_gradle):
    namespace = re.search(r'namespace = "([\w.]+)"', app_gradle).group(1)
    assert re.search(r'applicationId = "([\w.]+)"', app_gradle).group(1) == namespace
    for path in kotlin_files():
        package = re.search(r"^package ([\w.]+)$", path.read_text(), re.MULTILINE).group(1)
        assert package == namespace
        assert path.parent.as_posix().endswith("kotlin/" + package.replace(".", "/"))


def test_interactive_and_image_views_have_words_for_talkback():
    root = ElementTree.parse(RESOURCES / "layout" / "activity_main.xml").getroot()
    named = {
        "ImageView": "contentDescription",
        "androidx.camera.view.PreviewView": "contentDescription",
    }
    named |= {"Button": "text", "RadioButton": "text", "RadioGroup": "contentDescription"}
    for tag, attribute in named.items():
        views = list(root.iter(tag))
        assert views and all(view.get(ANDROID + attribute) for view in views), tag
    live = [view for view in root.iter() if view.get(f"{ANDROID}accessibilityLiveRegion")]
    assert [view.get(f"{ANDROID}id") for view in live] == ["@+id/status"]


def test_errors_are_one_sentence():
    for item in ElementTree.parse(RESOURCES / "values" / "strings.xml").getroot():
        if item.get("name").startswith("error_"):
            assert item.text[0] in "%T" and re.fullmatch(r"[^.!?]+(app/src[^.!?]+)?\.", item.text)


def test_versions_are_pinned_and_all_used(catalog):
    versions = catalog["versions"]
    assert all(re.fullmatch(r"\d+\.\d+(\.\d+)?", version) for version in versions.values())
    entries = [*catalog["libraries"].values(), *catalog["plugins"].values()]
    assert {entry["version"]["ref"] for entry in entries} == set(versions)
    cameras = {n: e["version"]["ref"] for n, e in catalog["libraries"].items() if "camera" in n}
    assert len(cameras) == 4 and set(cameras.values()) == {"camerax"}


def test_gradle_files_name_the_declared_aliases_and_no_other(catalog):
    text = "\n".join(path.read_text() for path in GRADLE_FILES)
    used = set(re.findall(r"\blibs\.([\w.]+)\)", text))
    declared = {catalog_accessor(alias) for alias in catalog["libraries"]}
    declared |= {"plugins." + catalog_accessor(alias) for alias in catalog["plugins"]}
    assert used == declared
    assert not re.search(r'"[\w.]+:[\w.-]+:[\w.+]+"', text)  # No version beside the catalog.


# The floors are documented: AGP 9.4 needs Gradle 9.6.0; MediaPipe is 16 KB safe since 0.10.26,
# LiteRT since 2.3 (without its separate GPU library); both need API 24.
def test_versions_fit_each_other(catalog, app_gradle):
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split("."))

    wrapper = (PROJECT / "gradle" / "wrapper" / "gradle-wrapper.properties").read_text()
    gradle = re.search(r"gradle-([\d.]+)-bin\.zip", wrapper).group(1)
    versions = catalog["versions"]
    assert numbers(versions["agp"])[:2] == (9, 4) and numbers(gradle) >= (9, 6, 0)
    assert f"--gradle-version {gradle}" in (PROJECT / "README.md").read_text()
    assert numbers(versions["mediapipe"]) >= (0, 10, 26) and numbers(versions["litert"]) >= (2, 3)
    assert "litert-gpu" not in str(catalog)
    sdk = {name: int(value) for name, value in re.findall(r"(\w+Sdk) = (\d+)", app_gradle)}
    assert 24 <= sdk["minSdk"] < sdk["targetSdk"] <= sdk["compileSdk"] <= 37
    makefile = (REPOSITORY / "Makefile").read_text()
    assert f"KOTLIN_VERSION := {versions['kotlin']}\n" in makefile


def test_the_model_is_not_compressed(app_gradle):
    assert 'noCompress += "tflite"' in app_gradle
    assert bundle.MODEL.endswith(".tflite")


def test_asset_names_are_the_bundle_s():
    golden = (MAIN / "kotlin" / "org" / "mobilenettf" / "app" / "Golden.kt").read_text()
    names = dict(re.findall(r'^const val (\w+)_FILE = "(.+)"$', golden, re.MULTILINE))
    assert names == {
        "MODEL": bundle.MODEL,
        "LABELS": bundle.LABELS,
        "GOLDEN": bundle.GOLDEN,
    }
    literals = [
        re.findall(r'"[\w/]+\.(?:tflite|txt|json)"', path.read_text()) for path in kotlin_files()
    ]
    assert sum(map(len, literals)) == 3  # Nowhere else.


def test_no_binary_and_no_bundle_is_committed():
    suffixes = {path.suffix for path in PROJECT.rglob("*") if path.is_file()}
    assert suffixes <= {".kt", ".kts", ".xml", ".toml", ".properties", ".md", ""}
