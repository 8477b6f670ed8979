#!/bin/sh
# Cheap looks at the whole tree; prints TAP.
set -u
cd "$(dirname "$0")/.." || exit
number=0
bad=0
# report NAME OUTPUT: a check passes when it printed nothing
report() {
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        printf '%s\n' "$2" | sed 's/^/# /'
        bad=1
    fi
}
c_files=$(git ls-files '*.c' '*.h')

report "no banned function is called" "$(grep -nE '(^|[^a-z_])(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atof|strtok|system|popen|alloca|usleep)\(' $c_files)"
report "no statement updates or deletes a row" "$(git ls-files 'src/*.sql' | xargs grep -niE '^[^-]*\b(update[[:space:]]+[a-z_]+[[:space:]]+set|delete[[:space:]]+from|insert[[:space:]]+or[[:space:]]+replace|replace[[:space:]]+into|truncate[[:space:]]+(table|ingot))\b')"
report "every .c and .h begins by saying what it is" "$(for file in $c_files; do head -c 2 "$file" | grep -q '^/\*' || echo "$file"; done)"
report "core includes nothing outside itself" "$(grep -n '#include "' src/core/*.[ch] | grep '/' | grep -vE '#include "[a-z_]+\.h"')"
report "an adapter includes nothing of Ingot but adapter.h" "$(grep -nE '#include ["<](core|store|daemon|scheduler|ingot/ingot)' -r src/adapters)"
report "no file is called util, common or helpers" "$(git ls-files | grep -E '(^|/)(utils?|common|helpers?|misc)\.')"
report "the code is formatted (clang-format)" "$(clang-format --dry-run -Werror $c_files 2>&1 | grep -E 'error:' | head -20)"
report "shell scripts are sound (shellcheck)" "$(shellcheck -S warning run check tools/*.sh .ci/run 2>&1)"
echo "1..$number"
exit $bad
