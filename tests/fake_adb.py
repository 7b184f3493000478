"""Stands in for adb: answers as a phone does, from what the test wrote beside it.

Run as a program. `answers.json` maps a regular expression to what the phone's shell prints,
or to [text, exit code]; the first that fits is taken. "=devices" is the list of phones and
"=push" why copying fails. Every call is added to `calls.txt`.
"""

import json
import os
import re
import sys

FOLDER = os.path.dirname(os.path.realpath(sys.argv[0]))


def main() -> int:
    """Plays adb; returns its exit code."""
    arguments = sys.argv[1:]
    with open(os.path.join(FOLDER, "calls.txt"), "a", encoding="utf-8") as calls:
        calls.write(json.dumps(arguments) + "\n")
    with open(os.path.join(FOLDER, "answers.json"), encoding="utf-8") as file:
        answers = json.load(file)
    if arguments == ["devices"]:
        print("* daemon started successfully\nList of devices attached\n" + answers["=devices"])
        return 0
    serial, command, rest = arguments[1], arguments[2], arguments[3:]
    if f"{serial}\tdevice" not in answers["=devices"]:
        print(f"adb: device '{serial}' not found", file=sys.stderr)
        return 1
    if command == "push":
        if "=push" in answers:
            print(answers["=push"], file=sys.stderr)
            return 1
        print(f"{rest[0]}: 1 file pushed, 0 skipped.")
        return 0
    return shell(rest[0], answers)


def shell(script: str, answers: dict) -> int:
    """Plays `adb shell`, of a version that never passes the exit code on."""
    inner = re.fullmatch(r"\{ (.*); \} 2>&1; echo; echo '(.*)' \$\?", script, re.S)
    assert inner, script
    found = next((a for p, a in answers.items() if p[0] != "=" and re.search(p, inner[1])), "")
    text, code = found if isinstance(found, list) else (found, 0)
    if code is None:  # The cable was pulled.
        return 0
    sys.stdout.write(f"{text}\n{inner[2]} {code}\n".replace("\n", "\r\n"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
