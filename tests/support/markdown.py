"""Reads pages of the documentation as far as tests need it: headings, links, tables and fenced blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"(?:^<!-- (?P<label>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; ``label`` is the comment in the line before it, ``section`` the heading above it."""

    language: str
    text: str
    label: str
    section: str


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self._prose = _FENCE.sub("", self.text)

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    def blocks(self, language: str = "") -> list[Block]:
        """Its fenced blocks, all or those of one language."""
        found = []
        for fence in _FENCE.finditer(self.text):
            above = _HEADING.findall(_FENCE.sub("", self.text[: fence.start()]))
            section = above[-1][1] if above else ""
            block = Block(fence["language"], fence["text"], fence["label"] or "", section)
            if not language or block.language == language:
                found.append(block)
        return found

    def headings(self, level: int = 0) -> list[str]:
        """The texts of its headings, all or those of one level."""
        return [text for marks, text in _HEADING.findall(self._prose) if not level or len(marks) == level]

    def anchors(self) -> set[str]:
        """What a link may name after ``#``."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings()}

    def links(self) -> list[str]:
        """The targets of its links, in order."""
        return _LINK.findall(self._prose)

    def table(self, heading: str) -> list[list[str]]:
        """The cells of the first table under ``heading``, without its head."""
        part = self._prose.split(f" {heading}\n", 1)[1]
        rows = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
        assert rows is not None, f"{self.name}: no table under {heading}"
        lines = rows[0].splitlines()[2:]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def pages() -> list[Page]:
    """Every page of the project."""
    return [Page(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]
