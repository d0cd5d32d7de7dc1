"""Parts of pages that commands make. Each stands between two marks that name its command, which
replaces it and leaves all else on the page alone."""

from __future__ import annotations

import re
from pathlib import Path


def _marks(command: str) -> tuple[str, str]:
    return f"<!-- made by: {command} -->", f"<!-- end of: {command} -->"


def replace(page: Path, command: str, text: str) -> None:
    """Puts `text` in place of the command's part of a page; at the page's end if it has none."""
    begin, end = _marks(command)
    part = f"{begin}\n{text.strip()}\n{end}"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    before, found, rest = old.partition(begin)
    if found:
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{page}: {begin} has no end")
        new = before + part + after
    else:
        new = f"{old.rstrip()}\n\n{part}\n" if old else part + "\n"
    page.write_text(new, encoding="utf-8")


def parts(page: Path) -> str:
    """All such parts of a page, for a command that writes the rest of it anew."""
    if not page.exists():
        return ""
    text = page.read_text(encoding="utf-8")
    marked = r"<!-- made by: (.+?) -->\n.*?<!-- end of: \1 -->"
    return "\n\n".join(match.group(0) for match in re.finditer(marked, text, re.DOTALL))
