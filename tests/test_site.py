"""Pages of docs/: each is in the site's navigation, and its links lead somewhere; with mkdocs the site builds."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")), *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def without_code(text):
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.S | re.M)


def anchors(path):
    """Return the anchors of a page's headings, as GitHub and mkdocs form them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", head.replace("\\", "").lower()).strip().replace(" ", "-") for head in heads}


def nav_pages(nav):
    for entry in nav:
        for place in entry.values():
            yield from nav_pages(place) if isinstance(place, list) else [place]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page):
    for place, anchor in LINK.findall(without_code(page.read_text())):
        target = (page.parent / place).resolve() if place else page
        assert target.is_file(), f"{page.name}: no file {place}"
        if page.is_relative_to(DOCS):
            assert target.is_relative_to(DOCS), f"{page.name}: {place} is no page of the site"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {place} has no heading #{anchor}"


def test_every_page_is_in_the_navigation():
    nav = list(nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(nav) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_the_index_names_every_page():
    text = (DOCS / "index.md").read_text()
    missing = [path.name for path in DOCS.glob("*.md") if path.name != "index.md" and f"({path.name}" not in text]
    assert not missing


def test_the_reference_names_modules_that_exist():
    named = [name for page in DOCS.glob("reference/*.md") for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)]
    assert len(named) > 10
    for name in named:
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), name


@pytest.mark.skipif(find_spec("mkdocs") is None, reason="mkdocs is not installed (extra: docs)")
def test_the_site_builds_without_a_warning(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ended = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "with_advantage" in (tmp_path / "reference" / "advantages.html").read_text()
