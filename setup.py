"""Wheels carry the weights and configs that a checkout keeps beside the package, as the release does; all else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = {"pretrained": ("*.safetensors", "MODEL_CARD.md"), "configs": ("**/*.yml",)}


class BuildWithWeights(build_py):
    """Copies ``Crowd3DNet/<folder>`` to ``crowd3d/<folder>``; `crowd3d.settings` looks there when there is no checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        source = Path("Crowd3DNet")
        for folder, patterns in SHIPPED.items():
            for pattern in patterns:
                for file in sorted((source / folder).glob(pattern)):
                    target = Path(self.build_lib, "crowd3d", file.relative_to(source))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self.copy_file(str(file), str(target))


setup(cmdclass={"build_py": BuildWithWeights})
