import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class LayerwiseConan(ConanFile):
    name = "layerwise"
    description = "Metrics and regularizers for the hidden states of transformers"
    license = "MIT"
    url = "https://github.com/layerwise/layerwise"
    homepage = "https://github.com/layerwise/layerwise"
    topics = ("transformers", "hidden-states", "linear-algebra", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def _repository(self):
        return os.path.join(self.recipe_folder, os.pardir, os.pardir)

    def set_version(self):
        header = load(self, os.path.join(self._repository, "include", "layerwise", "core", "version.hpp"))
        parts = re.findall(r"#define LAYERWISE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
        self.version = ".".join(parts)

    def export_sources(self):
        copy(self, "LICENSE", self._repository, self.export_sources_folder)
        copy(self, "include/*.hpp", self._repository, self.export_sources_folder)

    def layout(self):
        basic_layout(self, src_folder=".")

    def requirements(self):
        self.requires("eigen/3.4.0", transitive_headers=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "include/*.hpp", self.source_folder, self.package_folder)

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
