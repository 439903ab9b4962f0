"""Leaves out rooms of this project: in place (`make drop`), or in a new project with another name (`make new`)."""

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import tomlkit
import yaml

PROJECT = Path(__file__).parent.parent
PLATFORM = "platform"
# How a room's output is exported, and how a stack beside the root imports it.
EXPORT = r",\s*Export: \{ Name: !Sub \"\$\{RootStackName\}-(\w+)\" \}"
IMPORT = r"ImportValue\W+(?:Fn::Sub\W+)?\{RootStackName\}-(\w+)"
RESULTS = "benches/results"
# Files that may name a dropped room: history, measurements, and libraries, which have examples of their own.
NOT_READ = re.compile(r"(.*/)?(CHANGELOG|decisions)\.md|benches/results/.*|((crates|tests)/powertools|local)/.*")


def command(*words: str, directory: Path, env: dict[str, str] | None = None) -> str:
    """The output of a command; ends this program if the command fails."""
    result = subprocess.run(words, cwd=directory, env=env, stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        sys.exit(f"`{' '.join(words)}` failed in {directory}.")
    return result.stdout


# ---- Templates: composed, so that the line of each entry is known, and CloudFormation's tags are not an error


def entries(node: Any, *path: str) -> dict[str, tuple[int, Any]]:
    """The line and the value of each entry of the mapping at this path; empty if there is none."""
    for key in path:
        node = entries(node).get(key, (0, None))[1]
    if not isinstance(node, yaml.MappingNode):
        return {}
    return {key.value: (key.start_mark.line, value) for key, value in node.value}


def scalars(node: Any) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from scalars(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from scalars(value)


def references(node: Any) -> set[str]:
    """The names in `!Ref` and `!Sub`."""
    found = set()
    for scalar in scalars(node):
        if scalar.tag == "!Ref":
            found.add(scalar.value)
        elif scalar.tag == "!Sub":
            found |= set(re.findall(r"\$\{(\w+)", scalar.value))
    return found


def read_template(path: Path) -> Any:
    return yaml.compose(path.read_text())


def kebab(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def without(text: str, starts: set[int]) -> str:
    """A YAML text without the entries that start at these lines, and without the comments directly above them."""
    lines = text.splitlines()
    indent = [len(line) - len(line.lstrip()) for line in lines]
    gone: set[int] = set()
    for start in starts:
        end = start + 1
        while end < len(lines) and (not lines[end].strip() or indent[end] > indent[start]):
            end += 1
        while not lines[end - 1].strip():
            end -= 1
        while lines[start - 1].startswith(" " * indent[start] + "#"):
            start -= 1
        gone |= set(range(start, end))
    kept = "\n".join(line for number, line in enumerate(lines) if number not in gone)
    return re.sub(r"\n{3,}", "\n\n", kept).rstrip() + "\n"


class Project:
    """A copy of this repository, with its index in git."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> list[str]:
        """The files that git knows and that exist."""
        names = command("git", "ls-files", "-z", directory=self.root).split("\0")
        return [name for name in names if (self.root / name).is_file()]

    def texts(self) -> Iterator[tuple[str, str]]:
        for name in self.files():
            try:
                yield name, (self.root / name).read_text()
            except UnicodeDecodeError:
                continue

    def edit(self, name: str, text: str) -> None:
        path = self.root / name
        if path.read_text() != text:
            path.write_text(text)

    def copied_to(self, root: Path) -> "Project":
        """A copy of the files, with an index of its own and no history."""
        for name in self.files():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.root / name, root / name)
        command("git", "init", "--quiet", directory=root)
        command("git", "add", "--all", directory=root)
        return Project(root)

    def renumber(self) -> None:
        """Gives the packages another version, so that in a shared target directory they are never another copy's."""
        for manifest in (self.root / name for name in self.files() if Path(name).name == "Cargo.toml"):
            manifest.write_text(re.sub(r'(?m)^(version = "\d+\.\d+\.)', r"\g<1>9", manifest.read_text()))

    @cached_property
    def rooms(self) -> dict[str, str | None]:
        """The name of each room, which is that of its folders, and its resource in the root template, if it has one.

        A stack beside the root that has no documentation of its own is a tool, not a room.
        """
        documented = {path.parent.name for path in self.root.glob("docs/*/README.md")}
        stacks = {path.parent.name for path in self.root.glob("stacks/*/template.yaml")}
        found: dict[str, str | None] = dict.fromkeys(sorted(stacks & documented))
        for resource, (_, node) in entries(read_template(self.root / "template.yaml"), "Resources").items():
            location = entries(node, "Properties").get("Location")
            if location and (path := re.fullmatch(r"stacks/([\w-]+)/template\.yaml", location[1].value)):
                found[path[1]] = resource
        return found

    @cached_property
    def needs(self) -> dict[str, set[str]]:
        """The rooms whose outputs fill the parameters without a default of this room, or are imported by it."""
        root, owners = read_template(self.root / "template.yaml"), {value: key for key, value in self.rooms.items()}
        needs: dict[str, set[str]] = {}
        for room, resource in self.rooms.items():
            if resource is None:
                imported = self._named_in(room, IMPORT)
                needs[room] = {other for other in self.rooms if imported & self._named_in(other, EXPORT)}
                continue
            declared = entries(read_template(self.root / f"stacks/{room}/template.yaml"), "Parameters")
            needs[room] = {
                owners[value.value.split(".")[0]]
                for name, (_, value) in entries(root, "Resources", resource, "Properties", "Parameters").items()
                if value.tag == "!GetAtt" and "Default" not in entries(declared[name][1])
            }
        return needs

    def _named_in(self, room: str, pattern: str) -> set[str]:
        """What a pattern finds in the files of a room's stack."""
        texts = [path.read_text() for path in (self.root / "stacks" / room).glob("*.yaml")]
        return {name for text in texts for name in re.findall(pattern, text)}

    def with_needs(self, rooms: set[str]) -> set[str]:
        """These rooms, the platform, and all rooms that they need."""
        more = rooms | {PLATFORM} | {need for room in rooms for need in self.needs[room]}
        return more if more == rooms else self.with_needs(more)

    def names(self, rooms: set[str]) -> set[str]:
        """The names in these rooms: resources, parameters, outputs, functions, their variables, workflows, routes."""
        found: set[str] = set()
        for room in rooms:
            template = read_template(self.root / f"stacks/{room}/template.yaml")
            for section in ("Parameters", "Conditions", "Resources", "Outputs"):
                found |= entries(template, section).keys()
            for resource, (_, node) in entries(template, "Resources").items():
                if entries(node)["Type"][1].value == "AWS::Serverless::Function":
                    found |= {kebab(resource), kebab(resource).replace("-", "_")}
                    found |= entries(node, "Properties", "Environment", "Variables").keys()
            found |= {path.name.split(".")[0] for path in self.root.glob(f"statemachines/{room}/*")}
            for makefile in self.root.glob(f"scripts/{room}/room.mk"):
                targets = re.findall(r"^([a-z-]+):", makefile.read_text(), re.MULTILINE)
                found |= {f"`make {target}" for target in targets}
            for openapi in self.root.glob(f"stacks/{room}/openapi.yaml"):
                found |= entries(read_template(openapi), "paths").keys()
        return found

    def drop(self, rooms: set[str]) -> list[str]:
        """Deletes rooms that no other room needs; returns the lines that still name a part of them."""
        kept = self.rooms.keys() - rooms
        parameters = entries(read_template(self.root / "template.yaml"), "Parameters").keys()
        before = {str(path) for name in self.files() for path in (Path(name), *Path(name).parents)}
        names, needed, imported = self.names(rooms) - self.names(kept), self.needed_crates(), self.imported_modules()

        for path in before:
            *kind, last = Path(path).parts or ("",)
            if last in rooms and len(kind) < 3 and kind[:1] != ["crates"]:
                # A room's part of another room's folder can be gone with that.
                shutil.rmtree(self.root / path, ignore_errors=not (self.root / path).exists())
        self._prune_template({resource for room in rooms if (resource := self.rooms[room])})
        self._prune_exports(kept)
        for crate in needed - self.needed_crates():
            shutil.rmtree(self.root / crate)
        makefiles = "".join(path.read_text() for path in [self.root / "Makefile", *self.root.glob("scripts/*/room.mk")])
        for module in imported - self.imported_modules():
            for path in (f"tests/{module}.py", f"scripts/{module}.py"):
                if path not in makefiles:
                    (self.root / path).unlink(missing_ok=True)
        if not (self.root / "scripts" / "page_upload.py").exists():
            # What all pages have.
            shutil.rmtree(self.root / "pages", ignore_errors=True)
        self._prune_cargo()
        self._prune_settings(rooms, names)

        left = entries(read_template(self.root / "template.yaml"), "Parameters").keys() | self.names(kept)
        gone_parameters = parameters - left
        self._prune_overrides(gone_parameters)
        names = names - parameters | gone_parameters
        gone = Gone(rooms, names, {path for path in before if not (self.root / path).exists()})
        for path in sorted(before, reverse=True):
            # What git does not know. Commands that look there find nothing.
            with contextlib.suppress(OSError):
                (self.root / path).rmdir()
        for name, text in self.texts():
            if name.endswith(".md") and not NOT_READ.fullmatch(name):
                self.edit(name, pruned_page(name, text, gone))
        return [
            f"{name}:{number}: {line.strip()}"
            for name, text in self.texts()
            if not NOT_READ.fullmatch(name)
            for number, line in enumerate(text.splitlines(), 1)
            if gone.named(name, line)
        ]

    def _prune_template(self, resources: set[str]) -> None:
        path = self.root / "template.yaml"

        def of_gone(node: Any) -> bool:
            return any(one.tag == "!GetAtt" and one.value.split(".")[0] in resources for one in scalars(node))

        root = read_template(path)
        starts = {line for name, (line, _) in entries(root, "Resources").items() if name in resources}
        starts |= {line for line, node in entries(root, "Outputs").values() if of_gone(node)}
        for resource in entries(root, "Resources").keys() - resources:
            given = entries(root, "Resources", resource, "Properties", "Parameters")
            starts |= {line for line, node in given.values() if of_gone(node)}
        path.write_text(without(path.read_text(), starts))

        root = read_template(path)
        used = {name for part, (_, node) in entries(root).items() if part != "Parameters" for name in references(node)}
        starts = {line for name, (line, _) in entries(root, "Parameters").items() if name not in used}
        path.write_text(without(path.read_text(), starts))

    def _prune_exports(self, kept: set[str]) -> None:
        """Takes away the exports that no stack imports any more."""
        imported = {name for room in kept for name in self._named_in(room, IMPORT)}
        for path in self.root.glob("stacks/*/template.yaml"):
            text = path.read_text()
            path.write_text(re.sub(rf"{EXPORT}", lambda export: export[0] if export[1] in imported else "", text))

    def manifests(self) -> dict[str, Any]:
        """The packages' manifests by their folders."""
        found = {str(Path(name).parent): name for name in self.files() if name.endswith("/Cargo.toml")}
        return {folder: tomlkit.parse((self.root / name).read_text()).unwrap() for folder, name in found.items()}

    def needed_crates(self) -> set[str]:
        """The folders in crates/ that other packages need, directly or not."""
        workspace = tomlkit.parse((self.root / "Cargo.toml").read_text()).unwrap()["workspace"]["dependencies"]
        manifests = self.manifests()
        found: set[str] = set()
        new = {folder for folder in manifests if Path(folder).parent.name != "crates"}
        while new:
            paths: set[str] = set()
            for folder in new & manifests.keys():
                for name, value in dependencies(manifests[folder]):
                    base, value = ("", workspace[name]) if inherits(value) else (folder, value)
                    if isinstance(value, dict) and "path" in value:
                        paths.add(os.path.normpath(os.path.join(base, value["path"])))
            new = paths - found
            found |= paths
        return {folder for folder in found if Path(folder).parent.name == "crates"}

    def imported_modules(self) -> set[str]:
        """The first names of all modules that the Python files import."""
        pattern = re.compile(r"^ *(?:from|import) (\w+)", re.MULTILINE)
        return {module for name, text in self.texts() if name.endswith(".py") for module in pattern.findall(text)}

    def _prune_cargo(self) -> None:
        path = self.root / "Cargo.toml"
        document = tomlkit.parse(path.read_text())
        for key in ("members", "default-members"):
            patterns = document["workspace"][key]
            for pattern in list(patterns):
                if not any(self.root.glob(f"{pattern}/Cargo.toml")):
                    patterns.remove(pattern)
        used = {name for one in self.manifests().values() for name, value in dependencies(one) if inherits(value)}
        text = without_keys(tomlkit.dumps(document), "workspace.dependencies", used)
        path.write_text(text)
        # Removes the packages from Cargo.lock that are no longer needed.
        command("cargo", "metadata", "--offline", "--format-version", "1", directory=self.root)
        locked = set(re.findall(r'^name = "(.+)"$', (self.root / "Cargo.lock").read_text(), re.MULTILINE))
        path.write_text(without_keys(text, "profile.release.package", locked))

    def _prune_settings(self, rooms: set[str], names: set[str]) -> None:
        path = self.root / ".cargo/config.toml"
        lines = "|".join([*(f"{name} *=.*" for name in names), *(f"# {room}" for room in rooms)])
        path.write_text(re.sub(rf"^({lines})\n", "", path.read_text(), flags=re.MULTILINE))

        path = self.root / "pyproject.toml"
        document = tomlkit.parse(path.read_text())
        for key in ("pythonpath", "testpaths"):
            folders = document["tool"]["pytest"]["ini_options"][key]
            for folder in list(folders):
                if not (self.root / folder).exists():
                    folders.remove(folder)
        ignores = document["tool"]["ruff"]["lint"].get("per-file-ignores", {})
        for pattern in list(ignores):
            if not any(self.root.glob(pattern)):
                del ignores[pattern]
        path.write_text(tomlkit.dumps(document))

    def _prune_overrides(self, parameters: set[str]) -> None:
        path = self.root / "samconfig.toml"
        document = tomlkit.parse(path.read_text())
        for environment in document.values():
            given = environment.get("deploy", {}).get("parameters", {}) if isinstance(environment, dict) else {}
            if "parameter_overrides" in given:
                words = given["parameter_overrides"].split()
                given["parameter_overrides"] = " ".join(word for word in words if word.split("=")[0] not in parameters)
        path.write_text(tomlkit.dumps(document))


def dependencies(manifest: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for table in (manifest, *manifest.get("target", {}).values()):
        for kind in ("dependencies", "dev-dependencies", "build-dependencies"):
            yield from table.get(kind, {}).items()


def inherits(dependency: Any) -> bool:
    return isinstance(dependency, dict) and dependency.get("workspace", False)


def without_keys(text: str, section: str, kept: set[str]) -> str:
    """A TOML text whose section has only these keys, one per line, without the comments directly above the others."""
    result: list[str] = []
    here = ""
    for line in text.splitlines():
        if line.startswith("["):
            here = line.strip("[]")
        key = re.match(r"([\w-]+) *=", line)
        if here == section and key and key[1] not in kept:
            while result and result[-1].startswith("#"):
                result.pop()
        else:
            result.append(line)
    return "\n".join(result) + "\n"


class Gone:
    """Everything that was dropped with the rooms, and how other lines can name it."""

    def __init__(self, rooms: set[str], names: set[str], paths: set[str]) -> None:
        self.rooms, self._paths = rooms, paths
        # A single word can have another meaning.
        telling = [name for name in names if re.search(r"[a-z][A-Z]|[-_/ ]", name)]
        # A longer route is another one.
        patterns = [re.escape(name) + ("(?!/)" if name.startswith("/") else "") for name in telling]
        whole = "|".join([*(f"stacks/{room}" for room in rooms), *patterns])
        any_room = "|".join(rooms)
        # After ::, it is a type of CloudFormation.
        self._names = re.compile(
            rf"`(?:{any_room})`|ROOM=(?:{any_room})\b|(?<![A-Za-z0-9])(?<!::)(?:{whole})(?![A-Za-z0-9])"
        )

    def named(self, page: str, text: str) -> bool:
        """Whether a text of this file names something that was dropped."""
        if self._names.search(text):
            return True
        for path in re.findall(r"(?<![\w./-])[\w.-]+(?:/[\w.-]+)*/?", text):
            if "/" in path or path.endswith(".md"):
                for base in ("", os.path.dirname(page)):
                    if os.path.normpath(os.path.join(base, path)) in self._paths:
                        return True
        return False


def pruned_page(name: str, text: str, gone: Gone) -> str:
    """A page without the sections, table rows, list items and pictures about dropped rooms."""
    blocks: list[list[str]] = []
    in_code, dropped = False, 0
    for line in text.splitlines():
        code, in_code = in_code, in_code != line.lstrip().startswith("```")
        heading = re.match(r"(#+) +\[?(.*?)(\]\(.*\))?$", line)
        if heading and not code:
            if dropped and len(heading[1]) <= dropped:
                dropped = 0
            if not dropped and heading[2].strip("`").lower() in gone.rooms:
                dropped = len(heading[1])
        if dropped:
            continue
        item = re.compile(r"\s*([-*]|\d+\.) ")
        continued = re.match(r"\s+\S", line) and not item.match(line) and blocks and item.match(blocks[-1][0])
        if code or continued:
            blocks[-1].append(line)
        else:
            blocks.append([line])

    kept: list[str] = []
    for block in blocks:
        if re.match(r"\s*([-*]|\d+\.) |\||!\[.*\)$", block[0]) and gone.named(name, "\n".join(block)):
            continue
        kept.extend(block)
    result = "\n".join(kept) + "\n"
    if kept != text.splitlines():
        result = re.sub(r"^\|.*\|\n\|[ |:-]+\|\n(?!\|)", "", result, flags=re.MULTILINE)
        result = re.sub(r"\n{3,}", "\n\n", result)
    return result


# ---- A new project


def without_results(text: str) -> str:
    """A page without pictures of measurements. Of links to measurements, only the text remains."""
    results = rf"\(\S*\b{RESULTS}/[^)\s]*\)"
    text = re.sub(rf"^!\[.*\]{results}\n\n?", "", text, flags=re.MULTILINE)
    return re.sub(rf"\[([^][]+)\]{results}", r"\1", text)


def capitalised(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def renamed(text: str, old: str, new: str) -> str:
    """A text with the project's name replaced. In prose, before an @ and as a module, the name is a word of its own."""
    text = re.sub(rf"\b{capitalised(old)}\b", capitalised(new), text)
    followed = rf"\b{old}(?=-|/|:\S|\.(?!py\b)[a-z])"
    enclosed = rf"(?<=[/_]){old}\b(?!@|\.py\b)|(?<=\"){old}(?=\\?\")"
    return re.sub(f"{followed}|{enclosed}", new, text)


def make_new(source: Project, directory: Path, name: str, rooms: set[str]) -> None:
    root = directory.resolve()
    project = source.copied_to(root)
    kept = project.with_needs(rooms)
    if more := kept - rooms - {PLATFORM}:
        print(f"Also {listed(more)}, which the rooms that you named need.")
    if dropped := project.rooms.keys() - kept:
        warn(project.drop(dropped))
    shutil.rmtree(root / RESULTS, ignore_errors=True)
    (root / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n")

    for file, text in project.texts():
        if file.endswith(".md"):
            project.edit(file, without_results(text))

    old = project_name(source.root)
    for file, text in project.texts():
        # The licence names the authors of the original.
        if Path(file).name != "LICENSE":
            project.edit(file, renamed(text, old, name))
    # Names of another length change where lines break.
    command("cargo", "fmt", directory=root)
    command(str(Path(sys.executable).with_name("ruff")), "format", "--quiet", directory=root)
    command("git", "add", "--all", directory=root)
    message = f"A new project, from {capitalised(old)} with the rooms {listed(kept)}"
    command("git", "commit", "--quiet", "--message", message, directory=root)
    print(f"{capitalised(name)} has the rooms {listed(kept)}. Next:\n  cd {directory}\n  make up")


def project_name(root: Path) -> str:
    """The common beginning of the stacks' names."""
    config = tomlkit.parse((root / "samconfig.toml").read_text()).unwrap()
    return config["default"]["deploy"]["parameters"]["stack_name"].removesuffix("-dev")


def listed(names: set[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last


def warn(lines: list[str]) -> None:
    if lines:
        print("These lines still name what is gone:", *lines, sep="\n  ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drop = commands.add_parser("drop")
    drop.add_argument("room")
    new = commands.add_parser("new")
    new.add_argument("directory")
    new.add_argument("name")
    new.add_argument("rooms", nargs="*")
    arguments = parser.parse_args()

    project = Project(PROJECT)
    choices = ", ".join(sorted(project.rooms.keys() - {PLATFORM}))
    if arguments.command == "drop":
        room = arguments.room
        needing = {other for other, needs in project.needs.items() if room in needs}
        if room == PLATFORM:
            sys.exit(f"Every room needs {PLATFORM}.")
        if room not in project.rooms:
            sys.exit(f"ROOM is one of: {choices}")
        if needing:
            need, them = ("needs", "it") if len(needing) == 1 else ("need", "them")
            sys.exit(f"{listed(needing)} {need} {room}: drop {them} first.")
        if command("git", "status", "--porcelain", directory=PROJECT):
            sys.exit("Commit or stash what you have changed first, so that git can bring everything back.")
        if project.rooms.keys() == {PLATFORM, room}:
            sys.exit(f"{room} is the last room: the platform alone does nothing.")
        warn(project.drop({room}))
        print(f"{room} is gone. To see what changed: git diff. To bring it back: git checkout .")
    else:
        rooms, directory = set(arguments.rooms), Path(arguments.directory)
        if not arguments.directory or (directory.exists() and (not directory.is_dir() or any(directory.iterdir()))):
            sys.exit("DIR must be a directory that is empty or not there yet.")
        if not re.fullmatch(r"[a-z][a-z0-9-]{1,20}", arguments.name):
            sys.exit("NAME must be 2 to 21 lower-case letters, digits and hyphens, and begin with a letter.")
        if not rooms or rooms - project.rooms.keys():
            sys.exit(f"ROOMS is one or more of: {choices}")
        # Without a name and an address, the commit at the end would fail.
        for role in ("AUTHOR", "COMMITTER"):
            command("git", "var", f"GIT_{role}_IDENT", directory=PROJECT)
        make_new(project, directory, arguments.name, rooms)


if __name__ == "__main__":
    main()
