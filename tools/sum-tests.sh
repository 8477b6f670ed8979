#!/bin/sh
# Sums the TAP lines in Meson's logs: "N passed, N failed, N skipped" as the
# last line. Fails when a test failed, or when none ran.
# usage: sum-tests.sh LOG...
set -eu
awk '
    /^ok [0-9]+.*# SKIP/     { skipped++; next }
    /^ok [0-9]+/             { passed++ }
    /^not ok [0-9]+/         { failed++; print }
    # A program that died before its plan was fulfilled has no line for what is missing.
    /^result: +exit status [1-9]|^result: +killed|^result: +\(/ { if (!/exit status (1|77)$/) { failed++; print } }
    END {
        printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        exit failed > 0 || passed == 0
    }
' "$@"
