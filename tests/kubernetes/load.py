"""Loads an image into nodes that are containers of this machine's Docker engine, as kind's are.

    python load.py NODE... IMAGE

A node gets the layers that it does not have: of a location's new version some 2 MB of 600, with which each import would
keep both cores busy for half a minute. The archive is an OCI image layout, where each file's name is its digest:
https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

import subprocess
import sys
import tarfile
from io import BytesIO


def ctr(node: str, *arguments: str) -> list[str]:
    """A command of the node's containerd."""
    return ["docker", "exec", "--interactive", node, "ctr", "--namespace=k8s.io", *arguments]


def digests(node: str) -> set[str]:
    """What the node has."""
    listed = subprocess.run(ctr(node, "content", "ls", "--quiet"), stdout=subprocess.PIPE, text=True, check=True).stdout
    return {line.removeprefix("sha256:") for line in listed.split()}


def main() -> None:
    *nodes, image = sys.argv[1:]
    known = [digests(node) for node in nodes]
    imports = [subprocess.Popen(ctr(node, "images", "import", "-"), stdin=subprocess.PIPE) for node in nodes]
    archives = [tarfile.open(fileobj=one.stdin, mode="w|") for one in imports]  # noqa: SIM115, closed below
    with (
        subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved,
        tarfile.open(fileobj=saved.stdout, mode="r|") as files,
    ):
        for file in files:
            missing = [archive for archive, has in zip(archives, known, strict=True) if file.name[-64:] not in has]
            if missing:
                content = files.extractfile(file)
                data = content.read() if content else b""
                for archive in missing:
                    archive.addfile(file, BytesIO(data))
    for archive, one in zip(archives, imports, strict=True):
        archive.close()
        one.communicate()
    if failed := [node for node, one in zip(nodes, imports, strict=True) if one.returncode]:
        raise SystemExit(f"{image} was not loaded into {', '.join(failed)}")


if __name__ == "__main__":
    main()
