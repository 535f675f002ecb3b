"""The pages: links lead somewhere, pictures are used and fit a phone's connection, and pages stay short."""

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

PAGES = [
    *REPOSITORY.glob("*.md"),
    *(path for folder in ("docs", "datasets", "weights") for path in (REPOSITORY / folder).glob("*.md")),
]
PICTURES = sorted((REPOSITORY / "docs" / "images").iterdir())


def text(page: Path) -> str:
    """A page without its code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def links(page: Path) -> list[str]:
    """Where a page's links and pictures lead within the repository."""
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_pictures(picture: Path) -> None:
    assert picture.stat().st_size <= 1_000_000
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert picture in shown, "no page shows it"


@pytest.mark.parametrize(("page", "limit"), [("README.md", 120), ("docs/ABLATIONS.md", 200)])
def test_pages_are_short(page: str, limit: int) -> None:
    assert len((REPOSITORY / page).read_text(encoding="utf-8").splitlines()) <= limit


def test_reliability_names_tests_that_exist() -> None:
    """A row ends with files and parts of their tests' names: `test_a`: `this`, `that`; `test_b`, `test_c`."""
    rows = re.findall(r"^\|.*\| ([^|]*`test_[^|]*) \|$", text(REPOSITORY / "docs" / "RELIABILITY.md"), re.M)
    assert len(rows) > 100
    for row in rows:
        source = ""
        for name in re.findall(r"`(\w+)`", row):
            if name.startswith("test_"):
                source = (REPOSITORY / "tests" / f"{name}.py").read_text(encoding="utf-8")
            else:
                assert re.search(rf"def \w*{name}", source), f"{name} in {row}"
