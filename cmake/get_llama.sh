#!/usr/bin/env bash
# Gets the source of llama.cpp, pinned, as the source package llama-cpp-python carries it, from Python's registry.
#
#   bash cmake/get_llama.sh FOLDER
#
# FOLDER is then for -DLAYERWISE_LLAMA_SOURCE=FOLDER. Nothing is done where it is there already. Needs python3 with pip.
set -euo pipefail
folder=${1:?expected the folder to put it into}
version=0.3.36  # llama.cpp 0.5.0-dev, ggml 0.25.3
hash=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e

[ ! -f "$folder/CMakeLists.txt" ] || exit 0
if [ -e "$folder" ] && ! rmdir "$folder" 2>/dev/null; then
  echo "$folder: expected llama.cpp's source, an empty folder, or none, got something else" >&2
  exit 1
fi
work=$(dirname "$folder")/llama-package
mkdir -p "$work"
archive=$work/llama_cpp_python-$version.tar.gz
if ! echo "$hash  $archive" | sha256sum --check --status 2>/dev/null; then
  echo "Getting llama-cpp-python $version (77 MB)"
  python3 -m pip download --disable-pip-version-check --quiet --no-deps --no-binary llama-cpp-python \
    --dest "$work" "llama-cpp-python==$version"
  echo "$hash  $archive" | sha256sum --check --quiet
fi
# Unpacked beside it first: what was interrupted is not taken for the whole.
rm -rf "$work/source"
mkdir "$work/source"
tar --extract --gzip --file "$archive" --directory "$work/source" --strip-components=3 \
  "llama_cpp_python-$version/vendor/llama.cpp"
mv "$work/source" "$folder"
rm -rf "$work"
