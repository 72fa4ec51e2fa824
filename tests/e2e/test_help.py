"""Every script explains itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scripts_in_child import ROOT, run

SCRIPTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.py"), *ROOT.glob("experiments/*.py"))
    if "config.main(" in path.read_text("utf-8")
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_says_what_it_does_and_names_the_parameters(tmp_path: Path, script: str) -> None:
    outcome = run(script, "--help", folder=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "CONFIG.gin" in outcome.out
    parameters = outcome.out.split("parameters, bound in the gin files", 1)[1]
    assert re.search(r"^  \w+: ", parameters, re.MULTILINE)
    undocumented = [
        line
        for line, following in zip(parameters.splitlines()[1:], parameters.splitlines()[2:], strict=False)
        if line.startswith("  ") and line[2] != " " and not following.startswith("      ")
    ]
    assert undocumented == []
    assert list(tmp_path.glob("[!.]*")) == []
