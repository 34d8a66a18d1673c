"""A gate in front of a model of the fake engine: its runs wait until the test opens it."""


class Gate:
    """Put `directive` into the model's text; see src/engine/fake.c."""

    def __init__(self, path):
        self.path = path
        self.directive = f"gate {path}\n"

    def open(self):
        self.path.touch()
