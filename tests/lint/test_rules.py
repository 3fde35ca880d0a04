"""Each rule of the lint must catch its bad sample, at its line, and let the good one pass."""
import os
import stat
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rules_source  # noqa: E402
import rules_tables  # noqa: E402
import rules_tree  # noqa: E402
from tree import Tree  # noqa: E402

RULES = {**rules_tree.RULES, **rules_source.RULES, **rules_tables.RULES}
UNDONE = "TO" + "DO"
MANUAL = ".Dd November 23, 2026\n.Dt X 8\n.Os\n.Sh NAME\n.Nm x\n.Nd x\n.Sh DESCRIPTION\n"
CODES = 'X(OK, "ok", 200)\n    X(NOT_FOUND,  "not_found", 404, 4, "x")\n    X(D_X, "of_the_daemon", 1)\n'
SETTING = '/* x */\n    [SETTING_RPM] = {"rpm", 0, 1},\n'
PATCH = "    EndpointPatch:\n      properties:\n        settings:\n          properties:\n            rpm: {type: integer}\n    Next:\n"
OPENAPI = "openapi: 3.1.0\npaths:\n  /v1/runs/{run}:\n    get:\n      x: 1\n"


def c(body):
    return "/* idea */\n" + body


def prints(text):
    return "#!/bin/sh\ncat <<'END'\n" + text + "END\n"


# rule: (bad files, where the finding is, good files). Paths under "build/" are the built programs.
SAMPLES = [
    ("whitespace", {"a.md": "one \ntwo\n"}, "a.md:1", {"a.md": "one\ntwo\n"}),
    ("whitespace", {"a.md": "one\r\n"}, "a.md:1", {"a.md": "one\n"}),
    ("whitespace", {"a.md": "one"}, "a.md:1", {"a.md": "one\n"}),
    ("whitespace", {"base/a.c": "/* x */\n\tint x;\n"}, "base/a.c:2", {"base/a.c": "/* x */\n    int x;\n"}),
    ("marks", {"a.md": f"x\n{UNDONE}: more\n"}, "a.md:2", {"a.md": "todos are fine\n"}),
    ("machine-paths", {"scripts/a": "cd /ho" + "me/me/x\n"}, "scripts/a:1", {"scripts/a": "cd /usr/share\n"}),
    ("file-names", {"a b.md": "x\n"}, "a b.md:1", {"a-b.md": "x\n"}),
    ("news", {"configure.ac": "AC_INIT([galloc], [1.2.3], [])\n", "NEWS.md": "## 1.2.2\n"}, "NEWS.md:1",
     {"configure.ac": "AC_INIT([galloc], [1.2.3], [])\n", "NEWS.md": "## 1.2.3\n"}),
    ("exceptions", {"tests/lint/exceptions.txt": "sizes a.c because\n", "a.c": "x\n"}, "tests/lint/exceptions.txt:1",
     {"tests/lint/exceptions.txt": "sizes a.c a table of rows\n", "a.c": "x\n"}),
    ("exceptions", {"tests/lint/exceptions.txt": "sizes gone.c a table of rows\n"}, "tests/lint/exceptions.txt:1",
     {"tests/lint/exceptions.txt": "# nothing\n"}),
    ("floors", {"base/a.c": c('#include "core/b.h"\n'), "daemon/core/b.h": c("")}, "base/a.c:2",
     {"daemon/core/a.c": c('#include "base/b.h"\n'), "base/b.h": c("")}),
    ("floors", {"daemon/net/a.c": c('#include "store/b.h"\n'), "daemon/store/b.h": c("")}, "daemon/net/a.c:2",
     {"daemon/dispatch/a.c": c('#include "store/b.h"\n'), "daemon/store/b.h": c("")}),
    ("floors", {"cli/a.c": c('#include "core/b.h"\n'), "daemon/core/b.h": c("")}, "cli/a.c:2",
     {"cli/a.c": c('#include "cli/b.h"\n'), "cli/b.h": c("")}),
    ("floors", {"daemon/api/a.c": c("#include <sqlite3.h>\n")}, "daemon/api/a.c:2", {"daemon/store/a.c": c("#include <sqlite3.h>\n")}),
    ("floors", {"daemon/api/a.c": c("#include <json-c/json.h>\n")}, "daemon/api/a.c:2", {"base/json.c": c("#include <json-c/json.h>\n")}),
    ("floors", {"daemon/api/a.c": c('#include "nowhere.h"\n')}, "daemon/api/a.c:2", {"daemon/api/a.c": c("#include <stdio.h>\n")}),
    ("sizes", {"base/a.c": c("int x;\n" * 500)}, "base/a.c:501", {"base/a.c": c("int x;\n" * 499)}),
    ("sizes", {"tests/unit/test_a.c": c("int x;\n" * 500)}, "tests/unit/test_a.c:501", {"tests/unit/test_a.c": c("int x;\n" * 499)}),
    ("sizes", {"tests/e2e/test_a.py": "x = 1\n" * 501}, "tests/e2e/test_a.py:501", {"tests/e2e/test_a.py": "x = 1\n" * 500}),
    ("sizes", {"base/a.h": c("int x;\n" * 150)}, "base/a.h:151", {"base/a.h": c("int x;\n" * 149)}),
    ("sizes", {"base/a.c": c("int f(void)\n{\n" + "    g();\n" * 58 + "}\n")}, "base/a.c:2",
     {"base/a.c": c("int f(void)\n{\n" + "    g();\n" * 57 + "}\n")}),
    ("counts", {"cli/a.c": c('out_line("%" PRId64 " rows", n);\n')}, "cli/a.c:2", {"cli/a.c": c('out_line("%s rows, line %" PRId64, text_count(n).text, line);\n')}),
    ("banned", {"cli/a.c": c("int f(void) { return system(x); }\n")}, "cli/a.c:2",
     {"cli/a.c": c('/* system() */ const char *s = "system(x)";\nint file_system(int x);\n')}),
    ("banned", {"daemon/api/a.c": c("int64_t now = time(NULL);\n")}, "daemon/api/a.c:2", {"base/clock.c": c("clock_gettime(CLOCK_REALTIME, &t);\n")}),
    ("deaths", {"daemon/api/a.c": c("void f(void) { abort(); }\n")}, "daemon/api/a.c:2", {"sim/a.c": c("void f(void) { exit(1); }\n")}),
    ("deaths", {"daemon/store/a.c": c("void f(void) { exit(1); }\n")}, "daemon/store/a.c:2",
     {"daemon/store/a.c": c("int f(void) { return loop_exit(1) + on_exit; }\n")}),
    ("negative", {"daemon/api/a.c": c('x = getenv("GALLOC_BREAK");\n')}, "daemon/api/a.c:2", {"daemon/api/a.c": c("x = BREAKS(NO_FENCE);\n")}),
    ("negative", {"base/negative.h": c('X(NO_FENCE, "no_fence", "")\n'), "build/config.h": "\n", "build/gallocd": "an ELF with no_fence in it\n"}, "base/negative.h:1",
     {"base/negative.h": c('X(NO_FENCE, "no_fence", "")\n'), "build/config.h": "#define GALLOC_NEGATIVE_CONTROLS 1\n", "build/gallocd": "no_fence\n"}),
    ("sql", {"daemon/store/a.c": c('void f(void)\n{\n    buf_add_fmt(&b, "SELECT x FROM t WHERE k = \'%s\'", k);\n}\n')},
     "daemon/store/a.c:4", {"daemon/store/a.c": c('sqlite3_prepare_v2(db, "SELECT x FROM t WHERE k = ?1", -1, &s, 0);\n')}),
    ("sleeps", {"tests/unit/test_a.c": c("void f(void) { usleep(100); }\n")}, "tests/unit/test_a.c:2",
     {"tests/unit/test_a.c": c("void f(void) { wait_until(x); } /* no sleep (1) */\n")}),
    ("sleeps", {"tests/e2e/test_a.py": "import time\ntime.sleep(1)\n"}, "tests/e2e/test_a.py:2",
     {"tests/e2e/test_a.py": "import time\ntime.sleep(.01)  # lint: poll\n"}),
    ("sleeps", {"tests/e2e/a.sh": "x; sleep 1\n"}, "tests/e2e/a.sh:1", {"tests/e2e/a.sh": "until x; do read -t 1; done\n"}),
    ("headings", {"base/a.c": "int x;\n"}, "base/a.c:1", {"base/a.c": c("int x;\n")}),
    ("headings", {"base/a.h": c("#ifndef A_H\n#define A_H\n#endif\n")}, "base/a.h:1",
     {"base/a.h": c("#ifndef GALLOC_BASE_A_H\n#define GALLOC_BASE_A_H\n#endif\n")}),
    ("options", {"build/gallocd": prints("  --new   x\n"), "man/gallocd.8": MANUAL}, "man/gallocd.8:1",
     {"build/gallocd": prints("  --new   x\n"), "man/gallocd.8": MANUAL + ".Bl -tag\n.It Fl -new\nx\n.El\n"}),
    ("options", {"build/gallocsim": prints("none\n"), "man/gallocsim.1": MANUAL + ".Fl -gone\n"}, "man/gallocsim.1:1",
     {"build/gallocsim": prints("none\n"), "man/gallocsim.1": '.\\" lint: foreign --gone\n' + MANUAL + ".Fl -gone\n"}),
    ("commands", {"build/gallocctl": prints("  runs   list\n"), "man/gallocctl.1": MANUAL}, "man/gallocctl.1:1",
     {"build/gallocctl": prints("  runs   list\n"), "man/gallocctl.1": MANUAL + ".Bl -tag\n.It Ic runs\nx\n.El\n"}),
    ("settings", {"build/gallocd": prints("rpm integer 0\n"), "man/gallocd.conf.5": MANUAL}, "man/gallocd.conf.5:1",
     {"build/gallocd": prints("endpoint.rpm integer 0\n"), "man/gallocd.conf.5": MANUAL + ".Bl -tag\n.It Ic rpm\nx\n.El\n"}),
    ("settings", {"build/gallocd": prints(""), "man/gallocd.conf.5": MANUAL + ".Bl -tag\n.It Ic gone\nx\n.El\n"}, "man/gallocd.conf.5:1",
     {"build/gallocd": prints(""), "man/gallocd.conf.5": MANUAL}),
    ("sim-settings", {"build/gallocsim": prints("  rpm   quota\n"), "man/gallocsim.1": MANUAL}, "man/gallocsim.1:1",
     {"build/gallocsim": prints("  rpm   quota\n"), "man/gallocsim.1": MANUAL + ".Bl -tag\n.It Ic rpm\nx\n.El\n"}),
    ("routes", {"build/gallocd": prints("GET /v1/runs/{run}\nPOST /v1/runs\n"), "schema/openapi.yaml": OPENAPI}, "schema/openapi.yaml:1",
     {"build/gallocd": prints("GET /v1/runs/{id}\n"), "schema/openapi.yaml": OPENAPI}),
    ("routes", {"build/gallocd": prints(""), "schema/openapi.yaml": OPENAPI}, "schema/openapi.yaml:1",
     {"build/gallocd": prints("GET /v1/runs/{id}\n"), "schema/openapi.yaml": OPENAPI}),
    ("manual-routes", {"build/gallocd": prints("GET /v1/runs\n"), "man/galloc-api.7": MANUAL}, "man/galloc-api.7:1",
     {"build/gallocd": prints("GET /v1/runs\n"), "man/galloc-api.7": MANUAL + ".Pa /v1/runs\n"}),
    ("settable", {"build/gallocctl": prints("      rpm=N   x\n"), "man/gallocctl.1": MANUAL}, "man/gallocctl.1:1",
     {"build/gallocctl": prints("      rpm=N   x\n"), "man/gallocctl.1": MANUAL + ".It Li tpm , rpm\n"}),
    ("settable", {"daemon/dispatch/endpoint.c": SETTING, "schema/openapi.yaml": PATCH.replace("rpm", "rpn")}, "schema/openapi.yaml:1",
     {"daemon/dispatch/endpoint.c": SETTING, "schema/openapi.yaml": PATCH}),
    ("settable", {"daemon/dispatch/endpoint.c": SETTING, "schema/openapi.yaml": PATCH, "cli/cmd_endpoint.c": c("")}, "cli/cmd_endpoint.c:1",
     {"daemon/dispatch/endpoint.c": SETTING, "schema/openapi.yaml": PATCH, "cli/cmd_endpoint.c": c('    {"rpm", "rpm", SETTING_NUMBER, 0},\n')}),
    ("codes", {"base/code.h": CODES, "man/galloc-api.7": MANUAL}, "man/galloc-api.7:1",
     {"base/code.h": CODES, "man/galloc-api.7": MANUAL + ".It Ic not_found\n"}),
    ("codes", {"base/code.h": CODES, "man/galloc-api.7": MANUAL + ".It Ic not_found\n.It Ic gone\n"}, "man/galloc-api.7:1",
     {"base/code.h": CODES, "man/galloc-api.7": MANUAL + ".It Ic not_found\n"}),
]


def plant(folder, files):
    for path, text in files.items():
        full = folder / path
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(text.encode())
        if path.startswith("build/"):
            full.chmod(full.stat().st_mode | stat.S_IXUSR)
    return Tree(str(folder), str(folder / "build"))


@pytest.mark.parametrize("rule,bad,where,good", SAMPLES, ids=[f"{row[0]}-{number}" for number, row in enumerate(SAMPLES)])
def test_rule_catches_the_bad_sample_alone(tmp_path, rule, bad, where, good):
    found = list(RULES[rule](plant(tmp_path / "bad", bad)))
    assert found and str(found[0]).startswith(where + ": "), [str(finding) for finding in found]
    assert [str(finding) for finding in RULES[rule](plant(tmp_path / "good", good))] == []


def test_every_rule_has_a_sample():
    assert set(RULES) == {row[0] for row in SAMPLES}


def test_an_exception_needs_its_reason(tmp_path):
    files = {"base/a.c": c("int x;\n" * 500), "tests/lint/exceptions.txt": "sizes base/a.c\n"}
    tree = plant(tmp_path / "without", files)
    assert tree.without_exceptions("sizes", RULES["sizes"](tree))
    files["tests/lint/exceptions.txt"] = "sizes base/a.c one long table\n"
    tree = plant(tmp_path / "with", files)
    assert not tree.without_exceptions("sizes", RULES["sizes"](tree))
    assert not tree.unused_exceptions(["sizes"])


def test_an_exception_that_is_not_needed_is_told_of(tmp_path):
    tree = plant(tmp_path, {"base/a.c": c("int x;\n"), "tests/lint/exceptions.txt": "sizes base/a.c one long table\n"})
    tree.without_exceptions("sizes", RULES["sizes"](tree))
    assert [str(finding).split(":")[1] for finding in tree.unused_exceptions(["sizes"])] == ["1"]
