"""Figures of a long measurement that stay in a folder, so that a call that was stopped goes on where it was."""
import json
import pathlib


class KeptFigures:
    """What was measured of files, by what makes each: perplexities and sizes, as JSON lines."""

    def __init__(self, path):
        self.path = path
        self.known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def find(self, key):
        return next((one["is"] for one in self.known if one["of"] == key), None)

    def add(self, key, value):
        self.known.append({"of": key, "is": value})
        with open(self.path, "a") as file:
            file.write(json.dumps(self.known[-1]) + "\n")


def of(folder, arguments):
    """Those of a folder, which is made where it is not there; a call with another model or other texts is refused."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "call.json"
    paths = {name: str(pathlib.Path(getattr(arguments, name)).absolute()) for name in ("model", "ids", "evaluation")}
    call = paths | {name: getattr(arguments, name) for name in ("sequences", "length", "windows", "window", "eval")}
    if path.exists() and (found := json.loads(path.read_text())) != call:
        differing = ", ".join(f"{name} {found[name]} where this call has {call[name]}" for name in call if found[name] != call[name])
        raise SystemExit(f"{folder} keeps figures of another call ({differing}); give another folder")
    path.write_text(json.dumps(call))
    return KeptFigures(folder / "figures.jsonl")
