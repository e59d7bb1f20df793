"""What the documents say is true: blocks load and compile, commands and links exist, printed pages are up to date."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "cases" / "README.md"])
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
OPENAPI = """
openapi: 3.1.0
info: { title: x, version: "1" }
paths:
  /orders:
    get: { responses: { "200": { description: ok } } }
    post: { security: [{ t: ["orders:write"] }], responses: { "200": { description: ok } } }
components: { securitySchemes: { t: { type: http, scheme: bearer } } }
"""


class Block(NamedTuple):
    """One fenced block of a page."""

    page: str
    line: int
    kind: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(kind: str) -> Any:
    found = [block for page in PAGES for block in _blocks(page) if block.kind == kind]
    assert found
    return pytest.mark.parametrize("block", found, ids=[block.id for block in found])


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(str(page.relative_to(ROOT)), line, match[1], match[2])


@pytest.fixture(scope="module")
def printed() -> ModuleType:
    """Load `docs/printed.py`, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("docs_printed", ROOT / "docs" / "printed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@blocks("toml")
def test_policies_load(block: Block, tmp_path: Path) -> None:
    """CFG-06: each block is a policy that an engine can be built from; one that starts with `# cases` is a chapter."""
    if block.text.startswith("# cases"):
        assert tomllib.loads(block.text)["case"]
        return
    from sixfold.assembly import make_state
    from sixfold.engine import Engine
    from sixfold.policy import read_policy
    from sixfold.rehearsal import rehearse

    (tmp_path / "openapi.yaml").write_text(OPENAPI)
    (tmp_path / "api-keys.jsonl").touch()
    (tmp_path / "sixfold.toml").write_text(block.text)
    policy = read_policy(tmp_path / "sixfold.toml", {})
    state = make_state(policy, tmp_path)
    Engine(policy, state)
    rehearse(policy, state)


@blocks("python")
def test_python_compiles_and_its_imports_exist(block: Block) -> None:
    compile(block.text, block.id, "exec")
    for line in block.text.splitlines():
        if line.startswith(("from sixfold", "import sixfold")):
            exec(line, {})


@blocks("console")
def test_commands_exist(block: Block, printed: ModuleType) -> None:
    for line in block.text.splitlines():
        if line.startswith("$ "):
            _check_command(shlex.split(line[2:], comments=True), printed)


def _check_command(words: list[str], printed: ModuleType) -> None:
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[1] in targets
        return
    assert words[0] == "sixfold", words
    known = printed.commands()
    name = " ".join(words[1:3]) if " ".join(words[1:3]) in known else words[1]
    written = printed.options(known[name])
    options = [word.partition("=")[0] for word in words if word.startswith("--")]
    assert set(options) <= set(written), f"{name} has only {sorted(written)}"
    required = [key for key, one in written.items() if one.default is inspect.Parameter.empty]
    assert len(words) > len(required) + len(name.split())


def test_spans_of_text_name_commands_that_exist(printed: ModuleType) -> None:
    names = {name.split()[0] for name in printed.commands()}
    for page in PAGES:
        for name in re.findall(r"`sixfold ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert name in names, f"{page.name}: sixfold {name}"


def test_links_exist() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for link in _LINK.findall(text):
            if link.startswith(("http:", "https:", "mailto:")):
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path) if path else page
            assert target.exists(), f"{page.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
                assert anchor in anchors, f"{page.name}: {link}"


@pytest.mark.parametrize("name", ["policy.md", "refusals.md", "commands.md", "metrics.md"])
def test_printed_pages_are_up_to_date(name: str, printed: ModuleType) -> None:
    """`make docs` prints them."""
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == printed.pages()[name]


def test_every_dependency_has_its_line_of_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *(one for some in project["optional-dependencies"].values() for one in some)]
    tools = (ROOT / "requirements" / "dev.in").read_text().splitlines()
    needed += [line for line in tools if line and not line.startswith("#")]
    names = {re.split(r"[<>=;\[ ]", one)[0] for one in needed}
    told = set(re.findall(r"`([\w-]+)`", (ROOT / "docs" / "decisions" / "dependencies.md").read_text(encoding="utf-8")))
    assert names - told == set()


def test_the_readme_is_short() -> None:
    """FIRST-01: nobody reads more."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_python_of_this_machine_is_no_part_of_a_page() -> None:
    for page in PAGES:
        assert sys.prefix not in page.read_text(encoding="utf-8"), page
