"""Rules that hold a program's own tables against the documents: options, commands, settings, routes, error codes."""
import re
import subprocess

from tree import Finding

LONG_OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*[a-z0-9])")


def rendered(tree, path):
    """A manual as a reader sees it, without backspaces; empty while it is not there."""
    if not tree.exists(path):
        return ""
    ran = subprocess.run(["mandoc", "-T", "ascii", "-O", "width=400", path], cwd=tree.root, capture_output=True, text=True, check=False)
    return re.sub(r".\x08", "", ran.stdout)


def options_of(text):
    return set(LONG_OPTION.findall(text))


def _options_agree(tree, program, manual, *arguments):
    helped = tree.output(program, *arguments)
    if helped is None:
        if tree.is_built(program):
            yield Finding(manual, 1, f"{program} {' '.join(arguments)} failed: it must print its options")
        return
    if not tree.exists(manual):
        yield Finding(manual, 1, f"{program} is built and has no manual: write it")
        return
    text = rendered(tree, manual)
    for name in sorted(options_of(helped) - options_of(text)):
        yield Finding(manual, 1, f"{program} knows --{name}, the manual does not: describe it")
    for name in sorted(options_of(text) - options_of(helped) - _foreign(tree, manual)):
        yield Finding(manual, 1, f"the manual names --{name}, {program} does not know it: take it away")


def _foreign(tree, manual):
    """Options of other programs that a manual may show, told in a comment: .\\" lint: foreign --unix-socket ..."""
    found = re.findall(r'^\.\\" lint: foreign (.*)$', tree.text(manual), re.M)
    return options_of(" ".join(found))


def options(tree):
    """Every option that a program's help names is in its manual, and the other way round."""
    yield from _options_agree(tree, "gallocd", "man/gallocd.8", "--help")
    yield from _options_agree(tree, "gallocsim", "man/gallocsim.1", "--help")
    yield from _options_agree(tree, "gallocctl", "man/gallocctl.1", "help", "--all")


def commands(tree):
    """Every command of gallocctl is in its manual."""
    listed = tree.output("gallocctl", "help", "--all")
    if listed is None or not tree.exists("man/gallocctl.1"):
        return
    source = tree.text("man/gallocctl.1")
    for name in sorted(set(re.findall(r"^  ([a-z][a-z-]+)(?=\s)", listed, re.M))):
        if not re.search(rf"^\.(?:It|Ss|Nm|Ic|Cm).*\b{re.escape(name)}\b", source, re.M):
            yield Finding("man/gallocctl.1", 1, f"gallocctl has the command {name}, the manual does not: describe it")


def settings(tree):
    """Every setting is in gallocd.conf(5), and every one described there is a setting."""
    manual = "man/gallocd.conf.5"
    listed = tree.output("gallocd", "--print-settings")
    if listed is None:
        if tree.is_built("gallocd"):
            yield Finding(manual, 1, "gallocd --print-settings failed: it must print a setting a line, its name first")
        return
    names = {line.split()[0].split(".")[-1] for line in listed.splitlines() if line.strip() and not line.startswith("#")}
    rows = re.findall(r"^\.It (?:Ic|Cm|Va) (.*)$", tree.text(manual), re.M) if tree.exists(manual) else []
    described = {name for row in rows for name in re.findall(r"[a-z][a-z_]*", row)}
    for name in sorted(names - described):
        yield Finding(manual, 1, f"gallocd knows the setting {name}, the manual does not: add an .It Ic {name}")
    for name in sorted(described - names):
        yield Finding(manual, 1, f"the manual describes {name}, gallocd has no such setting: take it away")


def sim_settings(tree):
    """Every setting and fault of gallocsim is in its manual."""
    manual = "man/gallocsim.1"
    listed = tree.output("gallocsim", "--help")
    if listed is None or not tree.exists(manual):
        return
    text = rendered(tree, manual)
    for name in re.findall(r"^  ([a-z][a-z0-9_]+)  ?", listed, re.M):
        if not re.search(rf"\b{name}\b", text):
            yield Finding(manual, 1, f"gallocsim has the setting {name}, the manual does not: describe it")


def openapi_routes(text):
    """(METHOD, path) of an OpenAPI document, read by its indentation; parameters' names do not matter."""
    routes, path = set(), None
    in_paths = False
    for line in text.split("\n"):
        if re.match(r"^\S", line):
            in_paths = line.startswith("paths:")
        found = re.match(r"^ {2}['\"]?(/[^'\":]*)['\"]?:", line)
        if in_paths and found:
            path = found.group(1)
        found = re.match(r"^ {4}(get|put|post|patch|delete):", line)
        if in_paths and path and found:
            routes.add((found.group(1).upper(), plain(path)))
    return routes


def plain(path):
    return re.sub(r"\{[^}]*\}", "{}", path)


def routes(tree):
    """The route table and schema/openapi.yaml hold the same routes."""
    document = "schema/openapi.yaml"
    listed = tree.output("gallocd", "--print-routes")
    if listed is None:
        if tree.is_built("gallocd"):
            yield Finding(document, 1, "gallocd --print-routes failed: it must print METHOD PATH lines")
        return
    table = {(line.split()[0], plain(line.split()[1])) for line in listed.splitlines() if len(line.split()) >= 2}
    described = openapi_routes(tree.text(document)) if tree.exists(document) else set()
    for method, path in sorted(table - described):
        yield Finding(document, 1, f"gallocd serves {method} {path}, the document does not: describe it")
    for method, path in sorted(described - table):
        yield Finding(document, 1, f"the document has {method} {path}, gallocd does not serve it: take it away")


def manual_routes(tree):
    """galloc-api(7) names every path that gallocd serves."""
    manual = "man/galloc-api.7"
    listed = tree.output("gallocd", "--print-routes")
    if listed is None or not tree.exists(manual):
        return
    text = tree.text(manual).replace("\\&", "")
    for path in sorted({plain(line.split()[1]) for line in listed.splitlines() if len(line.split()) >= 2}):
        if path not in plain(text):
            yield Finding(manual, 1, f"gallocd serves {path}, the manual does not name it: add it to the routes")


def settable(tree):
    """What `set` takes at run time is in the manual; what the daemon lets an endpoint take is in the document, and gallocctl offers it."""
    listed = tree.output("gallocctl", "help", "--all")
    if listed is not None and tree.exists("man/gallocctl.1"):
        text = tree.text("man/gallocctl.1")
        for name in sorted(set(re.findall(r"^      ([a-z_]+)(?:=\S*)?  ", listed, re.M))):
            if not re.search(rf"^\.(?:It )?Li .*\b{name}\b", text, re.M):
                yield Finding("man/gallocctl.1", 1, f"gallocctl can set {name}, the manual does not say so: add an .It Li {name}")
    source, document = "daemon/dispatch/endpoint.c", "schema/openapi.yaml"
    if not tree.exists(source) or not tree.exists(document):
        return
    rows = set(re.findall(r'^\s*\[SETTING_\w+\] = \{"(\w+)"', tree.text(source), re.M))
    patch = re.search(r"^    EndpointPatch:\n((?:     .*\n)+)", tree.text(document), re.M)
    described = set(re.findall(r"^ {12}(\w+):", patch.group(1), re.M)) if patch else set()
    for name in sorted(rows ^ described):
        where = "the document" if name in rows else "the daemon"
        yield Finding(document, 1, f"EndpointPatch and the daemon's settings of an endpoint differ: {where} lacks {name}")
    offered = set(re.findall(r'^    \{"(\w+)", "\w+", SETTING_', tree.text("cli/cmd_endpoint.c"), re.M)) if tree.exists("cli/cmd_endpoint.c") else rows
    for name in sorted(rows - offered):
        yield Finding("cli/cmd_endpoint.c", 1, f"the daemon lets an endpoint's {name} be set, gallocctl does not offer it: add a row")


def codes(tree):
    """Every error code that a client can meet is in galloc-api(7)."""
    if not tree.exists("base/code.h") or not tree.exists("man/galloc-api.7"):
        return
    manual = set(re.findall(r"^\.It (?:Er|Ic|Cm|Sy) ([a-z_]+)", tree.text("man/galloc-api.7"), re.M))
    rows = re.findall(r'^\s*X\((\w+),\s*"(\w+)",', tree.text("base/code.h"), re.M)
    ours = {name for symbol, name in rows if not symbol.startswith("D_") and symbol not in CLIENT_SIDE}
    for name in sorted(ours - manual):
        yield Finding("man/galloc-api.7", 1, f"the code {name} is in base/code.h, the manual lacks it: add an .It Ic {name}")
    for name in sorted(manual - {name for _, name in rows}):
        yield Finding("man/galloc-api.7", 1, f"the manual has the code {name}, base/code.h has not: take it away")


# Codes that only gallocctl and gallocd themselves end with; none of them is ever an answer.
CLIENT_SIDE = {"OK", "USAGE", "UNREACHABLE", "TIMED_OUT", "PAUSED", "CANCELLED", "LOCAL_IO"}

RULES = {
    "options": options,
    "commands": commands,
    "settings": settings,
    "sim-settings": sim_settings,
    "routes": routes,
    "manual-routes": manual_routes,
    "settable": settable,
    "codes": codes,
}
