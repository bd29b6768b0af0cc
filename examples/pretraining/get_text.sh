#!/usr/bin/env bash
# Makes the experiment's texts: novels to learn and another one to measure on, C++ source to fine-tune on and some of
# it held out.
#
#   bash examples/pretraining/get_text.sh [DIR]        (default: pretraining-results/texts)
#   EIGEN_INCLUDE=<folder with Eigen/> ...                  where Eigen is elsewhere
#
# The novels are Jane Austen's, in the public domain, as Debian's r-cran-janeaustenr has them; the source is Eigen
# (MPL 2.0) as Debian's libeigen3-dev has it. Both packages are installed where apt-get may; the texts are then the
# same bytes for the same version of the packages.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$root/cmake/prerequisites.sh"
install_missing r-cran-janeaustenr libeigen3-dev

folder=${1:-pretraining-results/texts}
mkdir -p "$folder"
novel() { LC_ALL=C.UTF-8 Rscript -e "writeLines(janeaustenr::$1, useBytes = TRUE)"; }

for book in sensesensibility prideprejudice mansfieldpark emma northangerabbey; do
  novel "$book"
done >"$folder/novels.txt"
novel persuasion >"$folder/novels-held-out.txt"

# Whole modules are held out: the same file is never in both.
source_of() { # source_of <module>...
  local module
  for module in "$@"; do
    find "${EIGEN_INCLUDE:-/usr/include/eigen3}/Eigen/src/$module" -type f -name '*.h' | LC_ALL=C sort | xargs cat
  done
}
source_of Core Cholesky Geometry Householder Jacobi LU QR SparseCore misc plugins >"$folder/source.txt"
source_of Eigenvalues SVD SparseLU >"$folder/source-held-out.txt"
wc -c "$folder"/*.txt
