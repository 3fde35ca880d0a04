"""Rules over the C and test sources: floors, sizes, banned words, sleeps."""
import json
import os
import re
import subprocess

from tree import Finding

C_FILES = ("base/*.[ch]", "daemon/*.[ch]", "cli/*.[ch]", "sim/*.[ch]", "bench/*.[ch]", "tests/*.[ch]")
SOURCE_LINES_MAX = 500
HEADER_LINES_MAX = 150
FUNCTION_LINES_MAX = 60

# A room may include from itself and from these. Lower floors only; rooms of one floor never include each other, save that
# config and loop stand on core.
LOWER = {
    "base": [],
    "daemon/core": ["base"],
    "daemon/config": ["base", "daemon/core"],
    "daemon/loop": ["base", "daemon/core"],
}
FLOOR_1 = ["base", "daemon/core", "daemon/config", "daemon/loop"]
FLOOR_2 = ["daemon/store", "daemon/ingest", "daemon/provider", "daemon/net"]
LOWER.update({room: FLOOR_1 for room in FLOOR_2})
LOWER["daemon/dispatch"] = FLOOR_1 + FLOOR_2
LOWER["daemon/api"] = FLOOR_1 + FLOOR_2 + ["daemon/dispatch"]
LOWER["daemon"] = FLOOR_1 + FLOOR_2 + ["daemon/dispatch", "daemon/api"]
LOWER["cli"] = ["base"]
LOWER["sim"] = ["base"]

# A library that has one door: only these rooms may include its headers.
DOORS = {
    "sqlite3.h": ("daemon/store", "bench", "tests"),
    "json-c/": ("base",),
    "json.h": (),  # json-c's, when the folder is left out
    "curl/": ("daemon/net", "daemon", "cli", "bench", "tests"),
    "confuse.h": ("daemon/config",),
    "openssl/": ("base",),
    "libsmartcols.h": ("cli",),
    "xlsxwriter.h": ("cli",),
}

CALLS = {  # name: what to use instead
    "alloca": "xmalloc",
    "system": "nothing: galloc starts no shell",
    "popen": "nothing: galloc starts no shell",
    "sscanf": "base/parse.h",
    "scanf": "base/parse.h",
    "fscanf": "base/parse.h",
    "mktemp": "mkstemp",
    "tmpnam": "mkstemp",
    "tempnam": "mkstemp",
    "rand": "base/digest.h's random bytes",
    "srand": "base/digest.h's random bytes",
    "gethostbyname": "getaddrinfo, and never on the loop",
    "setjmp": "a return code",
    "longjmp": "a return code",
    "signal": "sigaction, or the loop's signals",
    "gettimeofday": "base/clock.h",
    "clock_gettime": "base/clock.h",
    "time": "base/clock.h",
    "strtok_r": "json, libcsv or a loop over memchr",
    "strdup": "xstrdup",
    "strndup": "xstrndup",
    "asprintf": "xasprintf",
}
# signal(X, SIG_IGN) and SIG_DFL are the same with sigaction, so they may stand.
CALL = re.compile(r"(?<![\w.>])(" + "|".join(CALLS) + r")\s*\((?!\s*\w+,\s*SIG_(?:IGN|DFL)\))")
CLOCK_CALLS = {"gettimeofday", "clock_gettime", "time"}
EXIT = re.compile(r"(?<![\w.>])(_?exit|_Exit|quick_exit|err|errx)\s*\(")
DEATH = re.compile(r"(?<![\w.>])(abort|assert|_?exit|_Exit|quick_exit|err|errx|__builtin_trap)\s*\(")
# Floors 0 to 2 never exit (abort is for a bug of ours or memory that cannot be had); where bytes of a client or of an
# API's answer arrive, nothing may die at all.
EXITLESS = ("base/", "daemon/core/", "daemon/config/", "daemon/loop/", "daemon/store/")
DEATHLESS = ("daemon/ingest/", "daemon/provider/", "daemon/net/", "daemon/dispatch/", "daemon/api/")
SQL_WORDS = r'"\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|CREATE|DROP|ALTER|PRAGMA|ATTACH|VACUUM)\b[^"]*%'
SQL_FORMAT = re.compile(r"(?:snprintf|asprintf|buf_add_fmt|sqlite3_mprintf|sqlite3_snprintf)\s*\((?:[^;]|\n)*?" + SQL_WORDS)
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
STRING_OR_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code_only(text):
    """The text with comments and the insides of strings blanked out, line for line and column for column."""
    def blank(match):
        kept = match.group(0)
        quote = kept[0] if kept[0] in "\"'" else " "
        return quote + re.sub(r"[^\n]", " ", kept[1:-1]) + (kept[-1] if quote != " " else " " if kept[-1] != "\n" else "\n")
    return STRING_OR_COMMENT.sub(blank, text)


def room_of(path):
    folder = os.path.dirname(path)
    while folder and folder not in LOWER:
        folder = os.path.dirname(folder)
    return folder


def floors(tree):
    """A file includes only from its own room or a lower floor, and a library only where its door is."""
    for path in tree.files("base/*.[ch]", "daemon/*.[ch]", "cli/*.[ch]", "sim/*.[ch]"):
        room = room_of(path)
        for number, line in tree.lines(path):
            found = INCLUDE.match(line)
            if not found:
                continue
            kind, target = found.groups()
            if kind == "<":
                yield from _door(path, number, room, target)
                continue
            owner = _owner(tree, path, target)
            if owner is None:
                yield Finding(path, number, f'"{target}" is no header of the house: write it with its room ("store/x.h")')
            elif owner != room and owner not in LOWER[room]:
                yield Finding(path, number, f"{room} may not include from {owner}: go through a lower floor, or pass it in from above")


def _owner(tree, path, target):
    if target == "config.h":
        return "base"
    for candidate in (target, os.path.join("daemon", target), os.path.normpath(os.path.join(os.path.dirname(path), target))):
        if tree.exists(candidate):
            return room_of(candidate)
    return None


def _door(path, number, room, target):
    for header, rooms in DOORS.items():
        if (target == header or (header.endswith("/") and target.startswith(header))) and room not in rooms:
            yield Finding(path, number, f"<{target}> may only be included in {', '.join(rooms) or 'no room'}: use that room's header")


def sizes(tree):
    """Files and functions stay short enough to be read at once."""
    for path in tree.files(*C_FILES, "tests/*.py"):
        count = tree.text(path).count("\n")
        limit = HEADER_LINES_MAX if path.endswith(".h") else SOURCE_LINES_MAX
        if count > limit:
            yield Finding(path, count, f"{count} lines, over {limit}: split it by nouns, or give the reason in tests/lint/exceptions.txt")
    yield from _functions(tree)


def _functions(tree):
    paths = tree.files(*(pattern for pattern in C_FILES))
    if not paths:
        return
    ran = subprocess.run(["ctags", "--output-format=json", "--fields=+ne", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f",
                          "-o", "-", *paths], cwd=tree.root, capture_output=True, text=True, check=True)
    for line in ran.stdout.splitlines():
        row = json.loads(line)
        length = row.get("end", row["line"]) - row["line"] + 1
        if length > FUNCTION_LINES_MAX:
            yield Finding(row["path"], row["line"], f"{row['name']}() has {length} lines, over {FUNCTION_LINES_MAX}: split it, or give the "
                          "reason in tests/lint/exceptions.txt", name=f"{row['path']}:{row['name']}")


def counts(tree):
    """Counts for people are in threes, by one function; what is typed back or points at a line is not."""
    for path in tree.files("cli/*.c"):
        for number, line in tree.lines(path):
            if path != "cli/out.c" and re.search(r'PRI[diu]64 " (?!of )[a-z%]', line):
                yield Finding(path, number, "a count for people without its thousands: print it with text_count() or show_count()")


def banned(tree):
    """Calls that are unsafe, or that go around a room made for the purpose."""
    for path in tree.files(*C_FILES):
        if path == "base/banned.h":
            continue
        is_outside = path.startswith(("tests/", "bench/"))
        for number, line in enumerate(code_only(tree.text(path)).split("\n"), start=1):
            for found in CALL.finditer(line):
                name = found.group(1)
                if name in CLOCK_CALLS and (path == "base/clock.c" or is_outside):
                    continue
                yield Finding(path, number, f"{name}() is banned: use {CALLS[name]}", name=f"{path}:{name}")


def deaths(tree):
    """No abort, exit or assert where input from outside arrives."""
    for path in tree.files("base/*.c", "daemon/*.c"):
        pattern = DEATH if path.startswith(DEATHLESS) else EXIT if path.startswith(EXITLESS) else None
        if pattern is None:
            continue
        for number, line in enumerate(code_only(tree.text(path)).split("\n"), start=1):
            found = pattern.search(line)
            if found:
                yield Finding(path, number, f"{found.group(1)}() in {room_of(path)}: return an error instead", name=f"{path}:{found.group(1)}")


def sql(tree):
    """No value is printed into SQL: it is bound."""
    for path in tree.files("base/*.c", "daemon/*.c", "cli/*.c", "sim/*.c"):
        for found in SQL_FORMAT.finditer(tree.text(path)):
            number = tree.text(path).count("\n", 0, found.end()) + 1
            yield Finding(path, number, "SQL made by a format string: write ?1 and bind the value")


SLEEP_C = re.compile(r"(?<![\w.>])(sleep|usleep|nanosleep|clock_nanosleep|thrd_sleep)\s*\(")
SLEEP_PYTHON = re.compile(r"\b(?:time|asyncio)\.sleep\s*\(")
SLEEP_SHELL = re.compile(r"(?:^|[;&|]|\bdo\b|\bthen\b)\s*sleep\s+[\d$.]")
POLL = "lint: poll"


def sleeps(tree):
    """Tests wait for a condition with a deadline; the one allowed pause is a poll's, marked so."""
    kinds = ((("tests/*.c", "base/*.c", "daemon/*.c"), SLEEP_C), (("tests/*.py",), SLEEP_PYTHON), (("tests/*.sh",), SLEEP_SHELL))
    for patterns, pattern in kinds:
        for path in tree.files(*patterns):
            if path == "tests/lint/test_rules.py":
                continue
            text = code_only(tree.text(path)) if path.endswith(".c") else tree.text(path)
            source = tree.text(path).split("\n")
            for number, line in enumerate(text.split("\n"), start=1):
                if pattern.search(line) and POLL not in source[number - 1]:
                    yield Finding(path, number, "a fixed sleep: wait for the condition with a deadline "
                                  f"(the pause between two looks is marked '{POLL}')")


def headings(tree):
    """Every source opens with a comment that tells its idea; headers have a guard named after their path."""
    for path in tree.files(*C_FILES):
        text = tree.text(path)
        if not text.startswith(("/*", "//")):
            yield Finding(path, 1, "opens without a comment: tell its idea, its thread and who calls it")
        if path.endswith(".h") and path != "config.h":
            name = path.removeprefix("daemon/").upper()
            guards = {"GALLOC_" + re.sub(r"[^A-Z0-9]", "_", part) for part in (name, path.upper())}
            found = re.search(r"^#ifndef (\w+)\n#define (\w+)$", text, re.M)
            is_any = path.startswith("tests/") and found and found.group(1).startswith("GALLOC_")
            if not found or found.group(1) != found.group(2) or not (is_any or found.group(1) in guards):
                yield Finding(path, 1, f"guard it with #ifndef {sorted(guards)[-1]}")


NEGATIVE = re.compile(r"GALLOC_BREAK|GALLOC_NEGATIVE_CONTROLS")
NEGATIVE_HOME = ("base/negative.h", "base/negative.c")


def negative(tree):
    """No promise can be broken but through base/negative.h, and nothing of that is in a program built without it."""
    for path in tree.files("base/*.[ch]", "daemon/*.[ch]", "cli/*.[ch]", "sim/*.[ch]"):
        for number, line in tree.lines(path):
            if path not in NEGATIVE_HOME and NEGATIVE.search(line):
                yield Finding(path, number, "ask BREAKS(…) of base/negative.h")
    header = tree.text("base/negative.h") if tree.exists("base/negative.h") else ""
    names = [name.encode() for name in re.findall(r'X\(\w+,\s*"(\w+)"', header) if "_" in name]
    config = os.path.join(tree.build, "config.h")
    if not os.path.isfile(config) or re.search(r"^#define GALLOC_NEGATIVE_CONTROLS", open(config, encoding="utf-8").read(), re.M):
        return
    for program in ("gallocd", "gallocctl", "gallocsim"):
        path = os.path.join(tree.build, program)
        content = open(path, "rb").read() if os.path.isfile(path) else b""
        for name in [b"GALLOC_BREAK", *names]:
            if name in content:
                yield Finding("base/negative.h", 1, f"{program} of {tree.build} has {name.decode()} in it: it must not be there without --enable-negative-controls")


RULES = {
    "negative": negative,
    "floors": floors,
    "sizes": sizes,
    "counts": counts,
    "banned": banned,
    "deaths": deaths,
    "sql": sql,
    "sleeps": sleeps,
    "headings": headings,
}
