"""Rules over every file of the checkout: whitespace, marks, paths, names, the NEWS."""
import re

from tree import Finding

TEXT_FILES = ("examples/*", "*.c", "*.h", "*.inc", "*.am", "*.ac", "*.py", "*.sh", "*.md", "*.sql", "*.yaml", "*.in", "*.[1-9]", "scripts/*",
              "tests/lint/run", ".ci/run", "examples/*.conf*", "systemd/*")
# Put together from halves, so that these rules do not find themselves.
MARKS = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK")) + r")\b")
MACHINE_PATH = re.compile(r"(?:^|[\s\"'(=:`])/(?:" + "|".join(("ho" + "me", "ro" + "ot", "wo" + "rk", "Us" + "ers")) + r")/[\w.$]")


def whitespace(tree):
    """No blank at a line's end, no CRLF, one newline at the end, no tab in C."""
    for path in tree.files(*TEXT_FILES):
        text = tree.text(path)
        if not text:
            continue
        if not text.endswith("\n") or text.endswith("\n\n"):
            yield Finding(path, text.count("\n") or 1, "must end in exactly one newline")
        for number, line in tree.lines(path):
            if line != line.rstrip():
                yield Finding(path, number, "blank or CR at the line's end: take it away")
            if "\t" in line and path.endswith((".c", ".h")):
                yield Finding(path, number, "a tab in C: use 4 spaces")


def marks(tree):
    """No mark of work left undone: finish it, or say what holds in a sentence."""
    for path in tree.files(*TEXT_FILES):
        for number, line in tree.lines(path):
            found = MARKS.search(line)
            if found:
                yield Finding(path, number, f"{found.group(1)} stands here: do it, or describe what is so")


def machine_paths(tree):
    """No path of one machine: what is named must be there on everybody's."""
    for path in tree.files(*TEXT_FILES):
        for number, line in tree.lines(path):
            found = MACHINE_PATH.search(line)
            if found:
                yield Finding(path, number, f"{found.group(0).strip()}… is a path of one machine: use a relative path or a variable")


def file_names(tree):
    """Names of files are plain: letters, digits, dot, dash, underscore."""
    for path in tree.files("*"):
        if not re.fullmatch(r"[A-Za-z0-9._/@-]+", path):
            yield Finding(path, 1, "a blank or odd character in the name: rename it")


def news(tree):
    """NEWS.md has a section for the version that configure.ac names."""
    version = re.search(r"AC_INIT\(\[galloc\], \[([^]]+)\]", tree.text("configure.ac")) if tree.exists("configure.ac") else None
    if not version:
        yield Finding("configure.ac", 1, "AC_INIT names no version")
    elif not tree.exists("NEWS.md") or not re.search(rf"^## {re.escape(version.group(1))}\b", tree.text("NEWS.md"), re.M):
        yield Finding("NEWS.md", 1, f'no section "## {version.group(1)}": say what a user sees in it')


def exceptions(tree):
    """Every exception has a reason, and something that it excepts."""
    for rule, name, reason, number in tree.exceptions():
        where = "tests/lint/exceptions.txt"
        if len(reason.split()) < 3:
            yield Finding(where, number, f"{rule} {name}: give the reason, in a few words", name=f"line {number}")
        if not tree.exists(name.split(":")[0]):
            yield Finding(where, number, f"{name} is no longer there: take the line away", name=f"line {number}")


RULES = {
    "whitespace": whitespace,
    "marks": marks,
    "machine-paths": machine_paths,
    "file-names": file_names,
    "news": news,
    "exceptions": exceptions,
}
