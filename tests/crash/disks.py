"""File systems of a harness's own: an ext4 in a file, which can lose its power, and a tmpfs, which can be full. Root and loop devices, or Skipped."""
import os
import shutil
import subprocess

from bench import Skipped, need


def command(*words):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})


class Disk:
    """`path` is where it is mounted."""

    def __init__(self, path):
        need("mount", "umount")
        self.path = path
        path.mkdir()

    def __enter__(self):
        self.mount()
        return self

    def __exit__(self, *_):
        command("umount", "-l", self.path)

    def mount_as(self, *words):
        ran = command("mount", *words, self.path)
        if ran.returncode != 0:
            raise Skipped(f"a file system cannot be mounted here: {ran.stderr.strip()} (needs root and loop devices)")

    def unmount(self):
        ran = command("umount", self.path)
        if ran.returncode != 0:
            raise AssertionError(f"umount: {ran.stderr}")

    def free_bytes(self):
        return shutil.disk_usage(self.path).free

    def fill(self, left_bytes=0):
        """A ballast file until only so much is left."""
        with open(self.path / "ballast", "ab", buffering=0) as ballast:
            for size in (1 << 20, 4096):
                try:
                    while self.free_bytes() > left_bytes + (size if left_bytes else 0):
                        if ballast.write(b"\xa5" * size) == 0:
                            break
                except OSError:
                    pass
            os.fsync(ballast.fileno())

    def make_room(self):
        (self.path / "ballast").unlink(missing_ok=True)


class Tmpfs(Disk):
    def __init__(self, path, size_mib):
        super().__init__(path)
        self.size_mib = size_mib

    def mount(self):
        self.mount_as("-t", "tmpfs", "-o", f"size={self.size_mib}m", "tmpfs")


class Ext4(Disk):
    def __init__(self, path, size_mib):
        super().__init__(path)
        self.image = path.with_suffix(".img")
        with open(self.image, "wb") as image:
            image.truncate(size_mib << 20)
        made = command("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", self.image)
        if made.returncode != 0:
            raise AssertionError(made.stderr)

    def mount(self):
        self.mount_as("-o", "loop", self.image)

    def shut_down(self):
        """As if the power went: nothing more reaches the medium, and what waits for it is dropped."""
        ran = command("xfs_io", "-x", "-c", "shutdown", self.path)
        if ran.returncode != 0:
            raise AssertionError(f"shutdown: {ran.stderr}")
