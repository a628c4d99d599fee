"""What pyproject.toml cannot say: the wheel's version is the program's, and it is for one platform and any Python, since it holds a program."""
import os
import pathlib
import re

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

VERSION = pathlib.Path(os.environ.get("CLEAVE_SOURCES", "..")) / "Sources/Reporting/Version.swift"


class ProgramWheel(bdist_wheel):
    def finalize_options(self):
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self):
        # Cluster/dist.sh finds out which C library the program and its libraries need.
        return "py3", "none", os.environ["CLEAVE_WHEEL_PLATFORM"]


setup(version=re.search(r'cleaveVersion = "([^"]+)"', VERSION.read_text()).group(1), cmdclass={"bdist_wheel": ProgramWheel})
