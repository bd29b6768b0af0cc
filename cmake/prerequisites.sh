# Sourced by demo.sh, check.sh and others: gets what they need from Debian's registry, where there is one.

# install_missing <package>...: installs those of the Debian packages that are not installed. Where apt-get is missing
# or may not be used it says so and goes on: CMake then looks for other installations, and fetches what it can't find.
install_missing() {
  local package missing=() as_root=()
  command -v apt-get >/dev/null && command -v dpkg-query >/dev/null || {
    echo "No apt-get here: using what is installed, fetching the rest."
    return 0
  }
  for package in "$@"; do
    # A compiler, CMake or git from elsewhere is as good as Debian's.
    case "$package" in
      g++) [ -n "${CXX:-}" ] || command -v c++ >/dev/null && continue ;;
      cmake | git | make | gnuplot | python3) command -v "$package" >/dev/null && continue ;;
      python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
      gnuplot-nox) command -v gnuplot >/dev/null && continue ;;
    esac
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0

  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; } || {
      echo "Not installed, and no rights to install: ${missing[*]}. Fetching what CMake can't find."
      return 0
    }
    as_root=(sudo)
  fi
  echo "Installing ${missing[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  # A stale or partly unreachable list of packages is no reason to stop: the installation will tell.
  ${as_root[@]+"${as_root[@]}"} "${apt[@]}" update >/dev/null || true
  ${as_root[@]+"${as_root[@]}"} "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null ||
    echo "apt-get could not install ${missing[*]}. Fetching what CMake can't find."
}

# parallel_jobs: the number of processors.
parallel_jobs() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2; }
