"""A model repository in a temporary folder, put together from the fixture models."""

import os
import shutil
import time
from pathlib import Path

DEMO = Path(__file__).resolve().parents[3] / "models" / "repository"

FAKE = "input INPUT0 FP32 [-1,4]\noutput OUTPUT0 FP32 [-1,4]\n"


class Repository:
    """`models` is the folder that make_models.py wrote; broken ones lie in `models`-broken."""

    def __init__(self, path, models):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.models = Path(models)
        self.broken = self.models.with_name(self.models.name + "-broken")

    def add(self, *names):
        """Copies fixture models, all their versions. Their files are old: nothing is settling."""
        for name in names:
            source = (DEMO if name == "breast-cancer" else self.models) / name
            shutil.copytree(source, self.path / name)
            self.age(self.path / name)
        return self

    def add_everything(self):
        return self.add(*sorted(folder.name for folder in self.models.iterdir()))

    def add_broken(self, *names):
        for name in names:
            shutil.copytree(self.broken / name, self.path / name)
            self.age(self.path / name)
        return self

    def add_version(self, name, version, source_name=None, source_version="1"):
        """Copies one version of a fixture model under another number, as `cp -r` and a rename."""
        source = self.models / (source_name or name) / str(source_version)
        parent = self.path / name
        parent.mkdir(exist_ok=True)
        staging = self.path / f".staging-{name}-{version}"
        shutil.copytree(source, staging)
        staging.rename(parent / str(version))
        return self

    def fake(self, name, text=FAKE, version=1):
        """Writes a model of the fake engine (--engine=fake): see src/engine/fake.c."""
        self.write(name, version, text)
        self.age(self.path / name)
        return self

    def write(self, name, version, content, file="model.onnx"):
        """Writes a file of a version as it is."""
        folder = self.path / name / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
        return self

    def settings(self, name, text):
        """Writes <model>/model.yaml."""
        (self.path / name).mkdir(exist_ok=True)
        (self.path / name / "model.yaml").write_text(text)
        return self

    def remove(self, name, version=None):
        """Takes a model or a version away at once: a rename out of the root, then the deletion."""
        folder = self.path / name / str(version) if version is not None else self.path / name
        gone = self.path.with_name(f"{self.path.name}-gone-{time.monotonic_ns()}")
        folder.rename(gone)
        shutil.rmtree(gone)
        return self

    @staticmethod
    def age(folder, seconds=3600):
        """Sets the times of everything in the folder back."""
        past = time.time() - seconds
        for path in [folder, *folder.rglob("*")]:
            os.utime(path, (past, past))
