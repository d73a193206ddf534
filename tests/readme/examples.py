# SPDX-License-Identifier: MIT
"""Takes the README's examples out of it, so that they are compiled and run.

examples.py extract README FOLDER   writes each ```cpp block to FOLDER/readme_<n>.cpp, prints paths
examples.py shell README            runs each ```sh test block, in the current folder
examples.py links ROOT              checks the relative links of all Markdown files below ROOT
"""
import os
import pathlib
import re
import subprocess
import sys

RELEASE_BIN = "build/release/bin"


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def extract(readme: pathlib.Path, folder: pathlib.Path) -> None:
    programs = blocks(readme.read_text(), "cpp")
    if not programs:
        sys.exit(f"{readme} has no ```cpp block")
    for number, program in enumerate(programs, 1):
        path = folder / f"readme_{number}.cpp"
        if not path.is_file() or path.read_text() != program:
            path.write_text(program)
        print(path)


def shell(readme: pathlib.Path) -> None:
    text = readme.read_text()
    for command in re.findall(r"^(\./\S+)", "".join(blocks(text, "sh")), re.MULTILINE):
        if not os.access(command, os.X_OK):
            sys.exit(f"{readme} says {command}, which is not an executable file")
    examples = blocks(text, "sh test")
    if not examples:
        sys.exit(f"{readme} has no ```sh test block")
    binaries = os.environ.get("BITNET_BIN", RELEASE_BIN)
    for example in examples:
        script = example.replace(RELEASE_BIN, binaries)
        print(script, flush=True)
        result = subprocess.run(["bash", "-euo", "pipefail", "-c", script],
                                capture_output=True, text=True)
        print(result.stdout, result.stderr, flush=True)
        if result.returncode != 0 or not result.stdout.strip():
            sys.exit(f"exit code {result.returncode}, {len(result.stdout)} characters printed")


def links(root: pathlib.Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=root,
                            capture_output=True, text=True).stdout.split()
    broken = []
    for path in (root / name for name in listed or ["README.md"]):
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
            if re.match(r"[a-z]+:|#", target):
                continue
            if not (path.parent / target.partition("#")[0]).exists():
                broken.append(f"{path.relative_to(root)}: {target}")
    print("\n".join(broken))
    sys.exit(bool(broken))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    {"extract": extract, "shell": shell, "links": links}[command](*map(pathlib.Path, arguments))
