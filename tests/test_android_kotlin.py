"""The app's Kotlin: compiled by its own compiler, and run as far as the JVM goes.

`make test-android` installs the compiler; without it, or without Java, these tests are skipped.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest
from android_project import REPOSITORY, kotlin_files, resources
from golden_bundle import make_bundle

TESTS = pathlib.Path(__file__).resolve().parent
COMPILER = REPOSITORY / "build" / "kotlin" / "node_modules" / "kotlin-compiler"
TIMEOUT_S = 600

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("java"), reason="the Kotlin compiler needs Java 17"),
    pytest.mark.skipif(
        not COMPILER.is_dir(), reason="no Kotlin compiler; run make test-android to install it"
    ),
]


def _resource_class() -> str:
    """The R class as the Android build makes it from the resource files."""
    kinds: dict[str, list[str]] = {}
    for entry in sorted(resources()):
        kind, name = entry.split("/")
        kinds.setdefault(kind, []).append(name)
    lines = ["package org.mobilenettf.app", "object R {"]
    for kind, names in kinds.items():
        constants = [f"        const val {name} = {id_}" for id_, name in enumerate(names)]
        lines += [f"    object {kind} {{", *constants, "    }"]
    return "\n".join([*lines, "}", ""])


def _compile(sources: list[pathlib.Path], output: pathlib.Path) -> subprocess.CompletedProcess:
    command = ["bash", str(COMPILER / "bin" / "kotlinc"), "-Werror", "-no-reflect"]
    command += ["-jvm-target", "17", "-d", str(output), *map(str, sources)]
    # The compiler lives too short for the JVM's second, slower optimization to pay.
    environment = os.environ | {"JAVA_OPTS": "-Xmx1g -XX:TieredStopAtLevel=1"}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_S, check=False
    )


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """Folder of the compiled app, its instrumented test, the stubs and the check."""
    folder = tmp_path_factory.mktemp("kotlin")
    (folder / "R.kt").write_text(_resource_class())
    stubs = sorted((TESTS / "android_stubs").glob("*.kt"))
    sources = [folder / "R.kt", TESTS / "android_jvm_check.kt", *stubs, *kotlin_files()]
    done = _compile(sources, folder / "classes")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "classes"


def test_the_app_compiles_without_a_warning(classes):
    package = classes / "org" / "mobilenettf" / "app"
    for name in ("MainActivity", "MediaPipeEngine", "LiteRtEngine", "GoldenReplayTest"):
        assert (package / f"{name}.class").is_file()


def test_what_needs_no_android_runs(classes, tmp_path):
    bundle = make_bundle(tmp_path / "bundle")
    library = COMPILER / "lib" / "kotlin-stdlib.jar"
    main = "org.mobilenettf.app.Android_jvm_checkKt"
    done = subprocess.run(
        ["java", "-cp", f"{classes}{os.pathsep}{library}", main, str(bundle)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bundle: 8 images, 3 labels" in done.stdout
    assert len(re.findall(r"^ok: ", done.stdout, re.MULTILINE)) == 29
