#!/usr/bin/env bash
# Installs a built command with its manual page and the completions of shells.
#
#     install.sh [--pages] BINARY PREFIX
#
# PREFIX/bin gets the command, PREFIX/share the manual page and completions for bash, zsh and fish; --pages installs those alone.
set -euo pipefail

pages=0
if [ "${1:-}" = --pages ]; then pages=1 && shift; fi
binary=${1:?usage: install.sh [--pages] BINARY PREFIX} prefix=${2:?usage: install.sh [--pages] BINARY PREFIX}
((pages)) || install -D -m 755 "$binary" "$prefix/bin/cleave"
page() {
    mkdir -p "$(dirname "$prefix/share/$1")"
    "$binary" "${@:2}" >"$prefix/share/$1"
}
page man/man1/cleave.1 manual
page bash-completion/completions/cleave --generate-completion-script bash
page zsh/site-functions/_cleave --generate-completion-script zsh
page fish/vendor_completions.d/cleave.fish --generate-completion-script fish
