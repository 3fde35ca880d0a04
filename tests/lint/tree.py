"""The checkout as the lint rules see it: its files, its built programs, its list of exceptions."""
import fnmatch
import os
import subprocess

SKIPPED = (".git", "build-aux", "autom4te.cache", "__pycache__", ".pytest_cache", "quickstart-data")
GENERATED = ("configure", "aclocal.m4", "Makefile.in", "config.h.in")


class Finding:
    """Something to mend: where, what, and what to do. `name` is what an exception names (a path, or path:function)."""

    def __init__(self, path, line, text, name=None):
        self.path, self.line, self.text, self.name = path, line, text, name or path

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


class Tree:
    def __init__(self, root, build):
        self.root, self.build = root, build
        self._files = None
        self._texts = {}
        self._outputs = {}
        self.used_exceptions = set()

    def files(self, *patterns):
        """Paths, relative to the root, that match any of the patterns ("*.c" matches in every folder). Sorted."""
        if self._files is None:
            self._files = sorted(self._list())
        return [path for path in self._files if any(fnmatch.fnmatch(path, pattern) for pattern in patterns)]

    def _list(self):
        listed = subprocess.run(["git", "-C", self.root, "ls-files", "-co", "--exclude-standard"],
                                capture_output=True, text=True, check=False)
        if listed.returncode == 0 and os.path.isdir(os.path.join(self.root, ".git")):
            return {path for path in listed.stdout.splitlines() if os.path.isfile(os.path.join(self.root, path))}
        found = set()
        for folder, folders, names in os.walk(self.root):
            folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith("build")]
            for name in names:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                if path not in GENERATED:
                    found.add(path)
        return found

    def text(self, path):
        """A file's text; what is not UTF-8 is kept visible as \\xNN."""
        if path not in self._texts:
            with open(os.path.join(self.root, path), encoding="utf-8", errors="backslashreplace", newline="") as file:
                self._texts[path] = file.read()
        return self._texts[path]

    def lines(self, path):
        return list(enumerate(self.text(path).split("\n"), start=1))

    def exists(self, path):
        return os.path.isfile(os.path.join(self.root, path))

    def output(self, program, *arguments):
        """What a built program prints on stdout; None while it is not built or does not know the arguments."""
        path = os.path.join(self.build, program)
        key = (program, arguments)
        if key not in self._outputs:
            self._outputs[key] = None
            if os.access(path, os.X_OK):
                ran = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False,
                                     stdin=subprocess.DEVNULL)
                if ran.returncode == 0:
                    self._outputs[key] = ran.stdout
        return self._outputs[key]

    def is_built(self, program):
        return os.access(os.path.join(self.build, program), os.X_OK)

    def exceptions(self):
        """Rows of exceptions.txt: (rule, name, reason, line)."""
        path = "tests/lint/exceptions.txt"
        rows = []
        for number, line in self.lines(path) if self.exists(path) else []:
            parts = line.split("#", 1)[0].split(None, 2)
            if parts:
                rows.append((parts[0], parts[1] if len(parts) > 1 else "", parts[2] if len(parts) > 2 else "", number))
        return rows

    def without_exceptions(self, rule, findings):
        excepted = {name for row_rule, name, reason, _ in self.exceptions() if row_rule == rule and reason}
        left = []
        for finding in findings:
            if finding.name in excepted:
                self.used_exceptions.add((rule, finding.name))
            else:
                left.append(finding)
        return left

    def unused_exceptions(self, rules):
        """Rows for these rules that let nothing pass; after the rules were run through without_exceptions()."""
        return [Finding("tests/lint/exceptions.txt", number, f"{rule} {name}: nothing is wrong there any more; take the line away")
                for rule, name, _, number in self.exceptions() if rule in rules and (rule, name) not in self.used_exceptions]
