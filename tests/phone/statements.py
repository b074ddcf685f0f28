"""Kotlin, Swift and Python as lists of statements that can be compared, for code that was written alike in all three.

A statement is its names, numbers, operators and brackets in order. What the languages spell differently is left out:
types and conversions between them, declarations, brackets around a condition, a name or a call. Shifts are the
operators whose precedence differs; `unclear_shifts` finds those that lean on it.
"""

from __future__ import annotations

import re

FUNCTION = {
    "kt": re.compile(r"^fun (\w+)\("),
    "swift": re.compile(r"^func (\w+)\("),
    "py": re.compile(r"^def (\w+)\("),
}
CONSTANT = {
    "kt": re.compile(r"^const val ([A-Z_]+) = (.+)$", re.MULTILINE),
    "swift": re.compile(r"^let ([A-Z_]+)(?:: \w+)? = (.+)$", re.MULTILINE),
    "py": re.compile(r"^([A-Z_]+) = (\d.*|[A-Z_0-9 ()<-]+)$", re.MULTILINE),
}
# One spelling for what is the same.
SAME = [
    (r"\.to(Int|Byte|Long|Float|Double)\(\)", ""),
    (r"\b(Int|Int32|UInt8|Float|Double|int|float|np\.float32)\(", "("),
    (r"\bshl\b", "<<"),
    (r"\bshr\b", ">>"),
    (r" until | \.\.< ", ","),
    (r"\brange\(([^,]+)\):$", r"0,\1"),
    (r"\brange\(", "("),
    (r"//", "/"),
    (r"\bor\b", "||"),
    (r"\band\b", "&&"),
    (r"\.size\b", ".count"),
    (r"&(?=\w)", ""),
    (r"\b(val|var|let|inout)\b", ""),
    (r"^(\s*)(if|while) \((.*)\) \{$", r"\1\2 \3"),
    (r"^(\s*for) \((.*)\) \{$", r"\1 \2"),
    (r"(?<=in) \((.*)\):$", r" \1"),
    (r"(?<![\w\])])\(([\w.]+(?:\[\w+\])?|\w+\([\w.]+(?:\[\w+\])?\))\)", r"\1"),
]
TOKEN = re.compile(r"[()\[\]]|[A-Za-z_]\w*|\d[\d_]*(?:\.\d+)?|\"\w*\"|<<|>>|[<>=!+*/%-]=?|&&|\|\|")


def constants(text: str, language: str) -> dict[str, int]:
    """The values of the constants, which are integers; later ones may use earlier ones."""
    found: dict[str, int] = {}
    for name, expression in CONSTANT[language].findall(_without_comments(text, language)):
        found[name] = eval(expression.replace("shl", "<<"), {"__builtins__": {}}, dict(found))
    return found


def functions(text: str, language: str) -> dict[str, list[tuple[str, ...]]]:
    """The statements of every function at the left margin, by name, in order; a function of one expression is one."""
    found: dict[str, list[tuple[str, ...]]] = {}
    body: list[tuple[str, ...]] = []
    for line in _joined(_without_comments(text, language)):
        if match := FUNCTION[language].match(line):
            body = found[match.group(1)] = []
            if inline := _expression(line, language):
                body.append(("return", *_tokens(inline)))
        elif line.startswith(" "):
            if tokens := _tokens(_unified(line)):
                body.append(tokens)
        elif line.strip() not in ("", "}", ") -> Taps:"):
            body = []
    return found


def unclear_shifts(text: str) -> list[str]:
    """Lines in which a shift stands beside another operator without brackets between them."""
    beside = re.compile(r"[-+*/] *[\w.\[\]]+ (?:shl|shr|<<|>>) |(?:shl|shr|<<|>>) [\w.]+ *[-+*/]")
    return [line for line in text.splitlines() if beside.search(line)]


def _expression(line: str, language: str) -> str | None:
    """The one expression of a function without a block."""
    if language == "kt" and (match := re.search(r"\)(?:: \w+)? = (.+)$", line)):
        return _unified(match.group(1))
    if language == "swift" and (match := re.search(r"\{ (.+) \}$", line)):
        return _unified(match.group(1))
    return None


def _without_comments(text: str, language: str) -> str:
    if language == "py":
        return re.sub(r'""".*?"""', "", re.sub(r"  # .*", "", text), flags=re.DOTALL)
    return re.sub(r"/\*\*.*?\*/", "", re.sub(r"(?<!:)//.*", "", text), flags=re.DOTALL)


def _joined(text: str) -> list[str]:
    """Lines, a function's head of several joined to one."""
    return re.sub(r"^(def \w+\()\n\s+(.*)\n\)", r"\1\2)", text, flags=re.MULTILINE).splitlines()


def _unified(line: str) -> str:
    for pattern, same in SAME:
        line = re.sub(pattern, same, line)
    return line


def _tokens(line: str) -> tuple[str, ...]:
    """Names, numbers, operators and brackets; `2.0` and `2` are one."""
    return tuple(re.sub(r"\.0$", "", token) for token in TOKEN.findall(line))
