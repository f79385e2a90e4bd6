"""Nothing that the package imports is for non-commercial use only."""

from __future__ import annotations

import subprocess
import sys

NON_COMMERCIAL = ("smplx", "alphapose", "human_body_prior", "chumpy", "anny")
IMPORT_EVERYTHING = """
import importlib, pkgutil, sys, crowd3d
for module in pkgutil.walk_packages(crowd3d.__path__, "crowd3d."):
    importlib.import_module(module.name)
body = crowd3d.bodies.load_body("free_low")
body.pose(*(__import__("numpy").zeros(shape) for shape in ((1, 24, 3), (1, 10))))
print(*(name for name in sys.modules if "." not in name))
"""


def test_no_module_of_the_package_imports_a_non_commercial_one() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_EVERYTHING], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "torch" in loaded
    assert not set(NON_COMMERCIAL) & set(loaded)
