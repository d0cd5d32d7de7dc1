"""Parts of pages that commands make: each replaces its own, and keeps all else."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.emulation import generated


def test_a_part_is_appended_then_replaced_in_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\ntext\n")
    generated.replace(page, "weft a", "first")
    generated.replace(page, "weft b", "other")
    generated.replace(page, "weft a", "second\n")
    text = page.read_text()
    assert text.startswith("# Page\n\ntext\n")
    assert "first" not in text
    assert text.index("second") < text.index("other")
    kept = generated.parts(page)
    assert "second" in kept and "other" in kept and "# Page" not in kept


def test_a_page_that_is_not_there_is_made(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert generated.parts(page) == ""
    generated.replace(page, "weft a", "text")
    assert "text" in generated.parts(page)


def test_a_part_without_an_end_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- made by: weft a -->\nhalf\n")
    with pytest.raises(ValueError, match="has no end"):
        generated.replace(page, "weft a", "text")
