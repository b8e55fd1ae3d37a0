"""Formulas as MathML Core, which browsers draw by themselves."""

from html import escape

from app.losses.formula import BIG, BRACKETS, CLOSING, Node, read

APPLIED, TIMES = "<mo>\u2061</mo>", "<mo>\u2062</mo>"
"""Nothing to see: a function is applied, two factors multiply."""
SPACE = "\u00a0"
"""Spaces at the ends of words are not drawn, but for this one."""
OPENING = {kind: mark for mark, kind in BRACKETS.items()}
FRACTIONS = {"½": "12", "¼": "14", "⅓": "13", "⅔": "23", "¾": "34"}


def mathml(formula: str) -> str:
    """A formula in the house's notation as an element `math`; nothing of nothing."""
    if not formula:
        return ""
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{_element(read(formula))}</math>'


def _element(node: Node) -> str:
    match node.kind:
        case "number":
            return _number(node.text)
        case "name" | "function":
            return _name(node.text)
        case "group" | "size" | "norm" | "truth":
            opening = OPENING[node.kind]
            return _row(_mark(opening, "prefix"), _list(node), _mark(CLOSING[opening], "postfix"))
        case "call":
            return _row(_element(node.parts[0]), APPLIED, _element(node.parts[1]))
        case "apply":
            return _row(_element(node.parts[0]), APPLIED, _element(node.parts[1]))
        case "root":
            return f"<msqrt>{_bare(node.parts[0])}</msqrt>"
        case "below" | "above":
            return _scripts(node)
        case "negative":
            return _row(_mark("−", "prefix"), _element(node.parts[0]))
        case "product":
            return _product(node)
        case "sum" | "relation":
            signs = (f"<mo>{escape(sign, quote=False)}</mo>" for sign in node.text)
            rest = (sign + _element(part) for sign, part in zip(signs, node.parts[1:], strict=True))
            return _row(_element(node.parts[0]), *rest)
        case "and":
            return _row(_words(" and ").join(map(_element, node.parts)))
        case "define":
            return _row(_element(node.parts[0]), "<mo>=</mo>", _element(node.parts[1]))
        case "cases":
            return _row(_mark("{", "prefix"), _table(*_branches(node)))
        case "statements":
            return _table(*([_element(part)] for part in node.parts))


def _number(text: str) -> str:
    if text in FRACTIONS:
        above, below = FRACTIONS[text]
        return f"<mfrac><mn>{above}</mn><mn>{below}</mn></mfrac>"
    return f"<mn>{text}</mn>"


def _name(text: str) -> str:
    if text in BIG:
        return f"<mo>{text}</mo>"
    if text.startswith("∂"):
        return _row("<mo>∂</mo>", _name(text[1:]))
    return f"<mtext>{text}</mtext>" if "_" in text else f"<mi>{text}</mi>"


def _mark(text: str, form: str) -> str:
    return f'<mo form="{form}">{text}</mo>'


def _words(text: str) -> str:
    return f"<mtext>{text.replace(' ', SPACE)}</mtext>"


def _row(*elements: str) -> str:
    return f"<mrow>{''.join(elements)}</mrow>"


def _list(node: Node) -> str:
    return "<mo>,</mo>".join(map(_element, node.parts))


def _bare(node: Node) -> str:
    """A thing without the brackets that its place makes needless."""
    return _row(_list(node)) if node.kind == "group" else _element(node)


def _scripts(node: Node) -> str:
    """What stands below and above: beside a name, but under an operator."""
    base, script = node.parts
    if node.kind == "above" and base.kind == "below" and base.parts[0].kind == "name":
        return f"<msubsup>{_element(base.parts[0])}{_bare(base.parts[1])}{_bare(script)}</msubsup>"
    tag = "msup" if node.kind == "above" else "munder" if base.kind == "function" else "msub"
    return f"<{tag}>{_element(base)}{_bare(script)}</{tag}>"


def _product(node: Node) -> str:
    """Factors side by side; what stands before a slash is above the line, and the one factor after it below."""
    first, *rest = node.parts
    row, above = [_element(first)], _bare(first)
    for sign, part in zip(node.text, rest, strict=True):
        if sign == "/":
            row = [f"<mfrac>{above if len(row) == 1 else _row(*row)}{_bare(part)}</mfrac>"]
        else:
            row += ["<mo>·</mo>" if sign == "·" else TIMES, _element(part)]
        above = row[0]
    return _row(*row)


def _branches(node: Node) -> list[list[str]]:
    pairs = zip(node.parts[::2], node.parts[1::2], strict=False)
    branches = [[_element(branch), _row(_words("if "), _element(condition))] for branch, condition in pairs]
    return branches if len(node.parts) % 2 == 0 else [*branches, [_element(node.parts[-1]), _words("otherwise")]]


def _table(*rows: list[str]) -> str:
    cells = ("".join(f"<mtd>{cell}</mtd>" for cell in row) for row in rows)
    return f'<mtable columnalign="left">{"".join(f"<mtr>{row}</mtr>" for row in cells)}</mtable>'
