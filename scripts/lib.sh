# shellcheck shell=bash
# Shared by the scripts in this folder: set up the virtual environment .venv of this checkout, and Debian packages.
# Source this file, do not run it. It does not change the working directory.

set -euo pipefail

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$project/.venv
python=$venv/bin/python
torch_cpu_index=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$(basename "$0"): $*"
    exit 1
}

# set_up EXTRAS: create or update the environment, with hivewatch and these extras (comma-separated).
# Returns at once if nothing has changed since the last time. A killed installation leaves half-unpacked
# packages that pip takes for complete ones, so after one the environment is created again.
set_up() {
    local extras=$1
    local stamp=$venv/.hivewatch-${extras//,/-} unfinished=$venv/.hivewatch-unfinished lock
    exec {lock}<"$project"
    flock "$lock" # held until pip has ended, even if this shell is killed
    [ ! -e "$unfinished" ] || rm -rf "$venv"
    make_venv
    local state
    state=$(printf '%s\n' "$project" "$("$python" --version)" && cat "$project"/{setup.cfg,pyproject.toml})
    if ! [ -e "$stamp" ] || [ "$(cat "$stamp")" != "$state" ]; then
        install_with "$extras" "$unfinished"
        printf '%s\n' "$state" >"$stamp"
    fi
    exec {lock}<&-
}

install_with() {
    local extras=$1 unfinished=$2
    say "Installing hivewatch and its dependencies into $venv (a few minutes the first time) ..."
    : >"$unfinished"
    trap 'exit 130' INT TERM # leaves $unfinished behind
    if ! run_pip "$extras"; then
        rm "$unfinished"
        die "pip failed; see its messages above." \
            "Check the network and the free disk space. If it keeps failing, remove $venv and try again."
    fi
    trap - INT TERM
    rm "$unfinished"
}

make_venv() {
    if "$python" -I -m pip --version >/dev/null 2>&1; then
        return
    fi
    local base
    base=$(find_python)
    if ! "$base" -I -c 'import ensurepip, venv' 2>/dev/null; then
        need_packages "$("$base" -I -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    "$base" -I -m venv --clear "$venv" || die "$base could not make a virtual environment in $venv"
}

# find_python: print the first supported Python on the PATH.
find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if "$name" -I -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            "$name" -I -c 'import sys; sys.exit(sys.maxsize < 2**32)' ||
                die "this Python is 32-bit; PyTorch needs a 64-bit system, such as the 64-bit Raspberry Pi OS"
            printf '%s\n' "$name"
            return
        fi
    done
    if command -v python3 >/dev/null; then
        die "hivewatch needs Python 3.11, 3.12 or 3.13; this machine has $(python3 --version)"
    fi
    die "python3 is not installed; on Debian: sudo apt install python3 python3-venv"
}

run_pip() {
    local pip=("$python" -I -m pip install --quiet --disable-pip-version-check --no-input)
    # Debian 13 keeps /tmp in memory, which may be too small for what pip unpacks.
    export TMPDIR=$venv/tmp
    mkdir -p "$TMPDIR"
    if wants_cpu_wheels; then
        # Both at once, since each torchvision requires one version of torch; the extras may need it later.
        "${pip[@]}" --index-url "$torch_cpu_index" torch torchvision || return
    fi
    "${pip[@]}" --editable "${project}[$1]" || return
    unset TMPDIR
    rm -rf "$venv/tmp"
}

# wants_cpu_wheels: succeed if torch should come from PyTorch's own index, and that index is reachable. On x86-64,
# PyPI's torch includes 5 GB of CUDA; PyTorch's index has a 0.5 GB build without. (On aarch64, setup.cfg requires a
# version without CUDA.)
wants_cpu_wheels() {
    [ "$(uname -m)" = x86_64 ] && [ ! -e /proc/driver/nvidia/version ] && timeout 6 "$python" -I - <<PYTHON 2>/dev/null
import urllib.request
urllib.request.urlopen("$torch_cpu_index/torch/", timeout=5).close()
PYTHON
}

# need_packages NAME...: install the Debian packages that are missing; needs root or sudo.
need_packages() {
    local name missing=()
    for name in "$@"; do
        dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install these packages (Debian's names): ${missing[*]}"
    can_be_root || die "packages are missing; as root, run: apt install ${missing[*]}"
    say "Installing Debian packages: ${missing[*]}"
    as_root apt-get -qq update || say "apt-get update failed; trying with the old package lists"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq --yes --no-install-recommends \
        -o Dpkg::Use-Pty=0 install "${missing[@]}" >/dev/null || die "apt failed to install: ${missing[*]}"
}

can_be_root() { [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; }; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
