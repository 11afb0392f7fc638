"""Rules of the source that no linter has: what queries may say, how large things may be, and that the paths and
commands of the documents exist."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from loom.cli.main import app

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "loom"


def tracked(*patterns: str) -> list[Path]:
    """Files that git knows below the patterns, or all that match where there is no git (a source archive)."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        listed = subprocess.run(
            [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
            cwd=ROOT, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    return [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]


def python_files(*patterns: str) -> list[Path]:
    return [path for path in tracked(*patterns) if path.suffix == ".py"]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


AUTHORISATION = re.compile(
    r"\bauth\.|request\.jwt|\bcurrent_user\b|\bsession_user\b|\bi_am_(admin|coach)\b|\brole\s*(=|<>|!=|in\b)\s*\(?'(admin|coach|client)'"
)


def test_no_query_decides_who_may_see_what() -> None:
    found = [
        f"{short(path)}:{number}: {line.strip()}"
        for path in tracked("src/loom/features/*/*queries.sql")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if AUTHORISATION.search(line.split("--")[0])
    ]
    assert not found


@pytest.mark.parametrize(
    "line",
    ["where coach_id = auth.uid()", "and u.role = 'admin'", "where (select private.i_am_admin())", "role in ('coach')"],
)
def test_the_rule_on_queries_notices(line: str) -> None:
    assert AUTHORISATION.search(line)


ROLE_IN_PYTHON = re.compile(r"\brole\s*(==|!=|in|is)\s*[\[({\"']")


def test_no_python_decides_who_may_see_what() -> None:
    found = [
        f"{short(path)}:{number}: {line.strip()}"
        for path in python_files("src/loom/features", "src/loom/workflows", "src/loom/web", "src/loom/http")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if ROLE_IN_PYTHON.search(line.split("#")[0])
    ]
    assert not found


def test_only_the_settings_read_the_environment() -> None:
    allowed = {SOURCE / "core" / "settings.py"}
    found = [
        short(path)
        for path in python_files("src/loom")
        if path not in allowed
        and re.search(r"\bos\.(environ|getenv)\b|\bfrom os import .*environ", path.read_text("utf-8"))
    ]
    assert not found


def test_python_files_stay_readable() -> None:
    found = [
        f"{short(path)}: {lines} lines"
        for path in python_files("src", "tests", "bench")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    assert not found


def test_functions_stay_readable() -> None:
    found = [
        f"{short(path)}:{node.lineno}: {node.name} has {lines} lines"
        for path in python_files("src", "tests", "bench")
        for node in functions(ast.parse(path.read_text(encoding="utf-8")))
        # A test may tell a whole story.
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > (80 if "tests" in path.parts else 60)
    ]
    assert not found


def test_schema_files_stay_readable() -> None:
    found = [
        f"{short(path)}: {lines} lines"
        for path in tracked("supabase/schemas")
        if path.suffix == ".sql" and (lines := len(path.read_text(encoding="utf-8").splitlines())) > 250
    ]
    assert not found


def test_imports_stand_at_the_top() -> None:
    found = [
        f"{short(path)}:{inner.lineno}"
        for path in python_files("src/loom")
        if (SOURCE / "cli") not in path.parents
        for node in functions(ast.parse(path.read_text(encoding="utf-8")))
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not found


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(
        r"\b(TODO|FIXME|HACK)\b|(#|--|//).*\bXXX\b|NotImplementedError|pytest\.mark\.(skip|xfail)|pytest\.skip\("
    )
    found = [
        f"{short(path)}:{number}: {line.strip()}"
        for path in tracked("src", "tests", "bench", "supabase/schemas", "scripts", "docs", "*.md")
        if path != Path(__file__) and path.suffix in {".py", ".sql", ".md", ".toml", ""}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if marks.search(line)
    ]
    assert not found


DOCUMENTS = ["README.md", "AGENTS.md", "CONTRIBUTING.md", "SECURITY.md", "docs"]
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
LOOM_COMMAND = re.compile(r"(?:^|`|\.venv/bin/)loom((?: [a-z][a-z-]+){1,2})", re.MULTILINE)
PATH_ROOTS = ("src/", "tests/", "docs/", "scripts/", "supabase/", "bench/", ".ci/")


def documents() -> list[Path]:
    return [path for path in tracked(*DOCUMENTS) if path.suffix == ".md"]


def test_every_link_in_the_documents_leads_somewhere() -> None:
    found = [
        f"{short(path)}: {target}"
        for path in documents()
        for target in LINK.findall(path.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists()
    ]
    assert not found


def named_paths(text: str) -> Iterator[str]:
    blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for span in [*CODE_SPAN.findall(text), *(line for block in blocks for line in block.splitlines())]:
        for word in re.split(r"[\s,:;()]+", span):
            if word.startswith(PATH_ROOTS) and not re.search(r"[<>{}*…$\[]|\.\.\.", word):
                yield word.rstrip(".").removesuffix("/")


def test_every_path_in_the_documents_exists() -> None:
    found = [
        f"{short(path)}: {name}"
        for path in documents()
        for name in named_paths(path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    ]
    assert not found


def test_every_loom_command_in_the_documents_exists() -> None:
    wrong: list[str] = []
    for path in documents():
        for words in LOOM_COMMAND.findall(path.read_text(encoding="utf-8")):
            command: Any = get_command(app)
            for word in words.split():
                # What follows a command is its argument.
                if not (below := getattr(command, "commands", {})):
                    break
                if (command := below.get(word)) is None:
                    wrong.append(f"{short(path)}: loom{words}")
                    break
    assert not wrong
