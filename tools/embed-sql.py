#!/usr/bin/env python3
"""Turns the .sql files of an adapter into one C header.

usage: embed-sql.py OUTPUT FILE.sql...

A file named migrations/VERSION_NAME.up.sql, with its .down.sql beside it,
becomes an entry of the table `migrations`. In every other file each statement
that follows a line "-- name: X" becomes the string `sql_X`.

In files under a folder "sqlite" three functions that plain SQLite lacks are
expanded in place, because views must work in any SQLite shell: ksuid_text(HEX),
state_text(N), time_text(US).
"""
import re
import sys
from pathlib import Path

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def word(first):
    """The 32-bit number in eight hexadecimal digits of h, from the first (1-based)."""
    return "+".join(f"instr('123456789ABCDEF',substr(h,{first + i},1))*{16 ** (7 - i)}" for i in range(8))


def ksuid_text(hexadecimal):
    """Base62 of a 160-bit number: long division of five words by 62^5, five digits at a time.

    One step divides one word; after five the words have rotated into the
    quotient and the remainder is five digits of the text.
    """
    digits = "||".join(f"substr('{ALPHABET}',(r<<32|a)%916132832/{62 ** (4 - i)}%62+1,1)" for i in range(5))
    words = ",".join(word(1 + 8 * i) for i in range(5))
    return (
        "(WITH RECURSIVE w(n,a,b,c,d,e,r,t) AS ("
        f"SELECT 0,{words},0,'' FROM (SELECT {hexadecimal} AS h) "
        "UNION ALL SELECT n+1,b,c,d,e,(r<<32|a)/916132832,"
        "CASE n%5 WHEN 4 THEN 0 ELSE (r<<32|a)%916132832 END,"
        f"CASE n%5 WHEN 4 THEN {digits}||t ELSE t END FROM w WHERE n<30) "
        "SELECT substr(t,-27) FROM w WHERE n=30)"
    )


def state_text(number):
    names = ["acknowledged", "awaiting", "executing", "succeeded", "failed", "discarded"]
    cases = " ".join(f"WHEN {i + 1} THEN '{name}'" for i, name in enumerate(names))
    return f"CASE {number} {cases} END"


def time_text(us):
    return f"(strftime('%Y-%m-%dT%H:%M:%S',({us})/1000000,'unixepoch')||printf('.%06dZ',({us})%1000000))"


FUNCTIONS = {"ksuid_text": ksuid_text, "state_text": state_text, "time_text": time_text}


def expand(sql, path):
    """Replaces each call; its argument may hold balanced parentheses."""
    while "sqlite" in path.parts:
        call = re.search(r"\b(" + "|".join(FUNCTIONS) + r")\(", sql)
        if not call:
            return sql
        depth, end = 1, call.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(sql[end], 0)
            end += 1
        sql = sql[: call.start()] + FUNCTIONS[call[1]](sql[call.end() : end - 1]) + sql[end:]
    return sql


def literal(sql):
    lines = [line.rstrip() for line in sql.strip().splitlines()]
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return "\n".join(f'    "{line}\\n"' for line in escaped)


def without_comments(sql):
    return re.sub(r"^\s*--.*\n", "", sql + "\n", flags=re.M)


def main():
    output, files = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    parts, migrations = ["/* Made by embed-sql.py from the .sql files. */"], []
    for path in sorted(files):
        text = path.read_text(encoding="utf-8")
        if path.name.endswith(".up.sql"):
            version, name = path.name[: -len(".up.sql")].split("_", 1)
            down = path.with_name(path.name.replace(".up.sql", ".down.sql")).read_text(encoding="utf-8")
            sql = [literal(expand(without_comments(part), path)) for part in (text, down)]
            migrations.append(f'    {{{version}u, "{name}",\n{sql[0]},\n{sql[1]}}},')
        elif not path.name.endswith(".down.sql"):
            for name, sql in re.findall(r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)", text, re.M | re.S):
                parts.append(f"static const char sql_{name}[] =\n{literal(expand(without_comments(sql), path))};")
    if migrations:
        parts.append(
            "static const struct ingot_adapter_migration migrations[] = {\n" + "\n".join(migrations) + "\n};"
        )
    output.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
