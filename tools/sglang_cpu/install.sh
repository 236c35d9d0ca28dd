#!/usr/bin/env bash
# Put the real SGLang into a virtual environment of its own, able to serve on a CPU.
#
#   install.sh [VENV]         default: .sglang in the repository
#
# PYTHON names the Python 3.11 to build on (default: python3.11). Does nothing where VENV is already as this folder
# wants it; builds it anew where this folder has changed or an earlier run was cut short. Refuses a VENV that it did not
# make.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-${here%/*/*}/.sglang}
stamp=$venv/.qvl-sglang-cpu # first line: the digest of this folder's inputs, or "incomplete"

step() { printf 'sglang-cpu: %3ds  %s\n' "$SECONDS" "$*"; }
refuse() { printf 'sglang-cpu: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }
pip() { "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"; }

# A function, so that bash has read all of it before it runs: an edit of this file cannot derail a running install.
install() {
  local digest python site
  digest=$(cd "$here" && find install.sh requirements*.txt stubs -name '*.pyc' -prune -o -type f -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1)

  if [[ -f $stamp && $(head -n 1 "$stamp") == "$digest" && -x $venv/bin/python ]]; then
    step "$venv is up to date"
    return
  fi
  if [[ -e $venv && ! -f $stamp ]] && [[ ! -d $venv || -n $(ls -A "$venv") ]]; then
    refuse "$venv exists and was not made by this script" "name another directory, or remove that one"
  fi

  python=${PYTHON:-$(command -v python3.11 || command -v python3)} || refuse "no python3.11 found" "set PYTHON"
  "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' ||
    refuse "$python is not Python 3.11, for which the versions are locked" "set PYTHON to a Python 3.11"

  # Two runs at once would install into each other's half-made environment; the second waits, then finds it done.
  mkdir -p "$venv"
  exec 9<"$venv"
  flock 9
  if [[ -f $stamp && $(head -n 1 "$stamp") == "$digest" ]]; then
    step "$venv was made by another run meanwhile"
    return
  fi

  step "creating $venv"
  echo incomplete >"$stamp"
  # Not `venv --clear`: without the stamp an interrupted run could not be told from somebody else's directory.
  find "$venv" -mindepth 1 -maxdepth 1 ! -name "${stamp##*/}" -exec rm -rf {} +
  "$python" -m venv "$venv"
  step "installing torch"
  pip "$(grep '^torch==' "$here/requirements.txt")"
  step "installing the libraries that SGLang imports"
  pip -r "$here/requirements.txt"
  step "installing SGLang"
  pip --no-deps -r "$here/requirements-nodeps.txt"

  step "putting the stand-ins in place"
  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cp -R "$here/stubs/." "$site/"
  # This module describes torchvision's compiled operators, which are CUDA's and don't load beside a CPU build of torch.
  # SGLang needs the image transforms alone, and they are Python.
  echo '# emptied by qvl: the operators that this described cannot be loaded' \
    >"$site/torchvision/_meta_registrations.py"

  step "checking the import"
  SGLANG_USE_CPU_ENGINE=1 "$venv/bin/python" -c 'import sglang.srt.server_args' >/dev/null
  printf '%s\n' "$digest" >"$stamp"
  step "ready: $venv/bin/python"
}

install
