"""A condition on a sweep's values: algo != 'LRU' or (size < 0.1 and trace.stem.startswith('w')).

Python's syntax, of which only this is known: names of parameters and parts of their paths, numbers, texts, lists, and,
or, not, comparisons, in, + - * / // % on numbers, startswith and endswith. Nothing else can be called or reached.
"""

from __future__ import annotations

import ast
import difflib
import operator
import warnings
from collections.abc import Callable, Collection, Mapping
from typing import Any

from distcomp.errors import BadInput, Fault
from distcomp.sweep.values import PATH_PARTS, Value

MAX_CHARACTERS = 2_000

Values = Mapping[str, Value]
_Evaluate = Callable[[Values], Any]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_METHODS = {"startswith": str.startswith, "endswith": str.endswith}


class Condition:
    """A parsed condition."""

    def __init__(self, text: str, evaluate: Callable[[Values], Any]) -> None:
        self.text = text
        self._evaluate = evaluate

    def accepts(self, values: Values) -> bool:
        """Whether the condition holds for these values.

        Raises:
            BadInput: it cannot be worked out for them, such as a text compared with a number.
        """
        try:
            return bool(self._evaluate(values))
        except _BadCondition as fault:
            shown = ", ".join(f"{name}={value.text}" for name, value in values.items())
            raise BadInput([_fault(fault.column, f"{fault} (for {shown})")]) from None
        except RecursionError:
            raise BadInput([_fault(1, "too deeply nested")]) from None


class _BadCondition(ValueError):
    def __init__(self, column: int, what: str) -> None:
        self.column = column
        super().__init__(what)


def parse_condition(text: str, names: Collection[str]) -> Condition:
    """The condition that `text` describes, over parameters of these names.

    Raises:
        BadInput: it cannot be read, or asks for what a condition does not know; in the file "where".
    """
    try:
        expression = _expression(text)
        if isinstance(expression, ast.Tuple | ast.List | ast.Set):
            raise _BadCondition(1, "a list is neither true nor false")
        return Condition(text, _Builder(text, names).build(expression))
    except RecursionError:
        raise BadInput([_fault(1, "too deeply nested")]) from None
    except _BadCondition as fault:
        raise BadInput([_fault(fault.column, str(fault))]) from None


def _expression(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise _BadCondition(1, f"longer than {MAX_CHARACTERS} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        column = _indent(text) + (error.offset or 1) if error.lineno == 1 else 0
        raise _BadCondition(column, f"not a condition: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise _BadCondition(1, "not a condition") from None


class _Builder:
    """Turns each node of the expression into a function; a node that it does not know is a fault."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._text = text
        self._names = names

    def build(self, node: ast.AST) -> _Evaluate:
        match node:
            case ast.Constant(value=int() | float() | str() as value):
                return lambda _: value
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.Attribute(value=ast.Name(id=name), attr=part):
                return self._part(node, name, part)
            case ast.BoolOp(op=op, values=parts):
                holds = all if isinstance(op, ast.And) else any
                built = [self.build(part) for part in parts]
                return lambda values: holds(part(values) for part in built)
            case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
                items = [self.build(element) for element in elements]
                return lambda values: [item(values) for item in items]
            case _:
                return self._operation(node)

    def _operation(self, node: ast.AST) -> _Evaluate:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                negated = self.build(operand)
                return lambda values: not negated(values)
            case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
                return self._numeric(node, _SIGNS[type(sign)], operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._numeric(node, _ARITHMETIC[type(op)], left, right)
            case ast.Compare(left=left, ops=ops, comparators=right) if all(type(op) in _COMPARISONS for op in ops):
                return self._comparison(node, left, ops, right)
            case ast.Call(func=ast.Attribute(value=owner, attr=method), args=[argument], keywords=[]) if (
                method in _METHODS
            ):
                return self._method(node, owner, method, argument)
            case _:
                raise self._bad(
                    node,
                    "a condition knows names, numbers, texts, and, or, not, in, comparisons, + - * / // %, "
                    ".startswith() and .endswith()",
                )

    def _name(self, node: ast.AST, name: str) -> _Evaluate:
        if name not in self._names:
            near = difflib.get_close_matches(name, self._names, n=1)
            hint = f"did you mean {near[0]}?" if near else f"a text needs quotes: {name!r}"
            raise self._bad(node, f"no parameter {name!r}; {hint}")
        return lambda values: values[name].typed

    def _part(self, node: ast.AST, name: str, part: str) -> _Evaluate:
        self._name(node, name)
        if part not in PATH_PARTS:
            raise self._bad(node, f"unknown part .{part}: .{', .'.join(PATH_PARTS)}")
        return lambda values: values[name].part(part)

    def _numeric(self, node: ast.AST, calculate: Callable[..., Any], *operands: ast.expr) -> _Evaluate:
        built = [self.build(operand) for operand in operands]

        def evaluate(values: Values) -> Any:
            numbers = [operand(values) for operand in built]
            for number in numbers:
                if not isinstance(number, int | float):
                    raise self._bad(node, f"cannot calculate with {number!r}")
            try:
                return calculate(*numbers)
            except ArithmeticError as error:
                raise self._bad(node, str(error)) from None

        return evaluate

    def _comparison(self, node: ast.AST, left: ast.expr, ops: list[ast.cmpop], right: list[ast.expr]) -> _Evaluate:
        operands = [self.build(operand) for operand in (left, *right)]
        compare = [_COMPARISONS[type(op)] for op in ops]

        def evaluate(values: Values) -> bool:
            items = [operand(values) for operand in operands]
            try:
                return all(test(a, b) for test, a, b in zip(compare, items, items[1:], strict=False))
            except TypeError:
                raise self._bad(node, f"cannot compare {' with '.join(map(repr, items))}") from None

        return evaluate

    def _method(self, node: ast.AST, owner: ast.expr, method: str, argument: ast.expr) -> _Evaluate:
        of, given = self.build(owner), self.build(argument)

        def evaluate(values: Values) -> bool:
            text, affix = of(values), given(values)
            if not isinstance(text, str) or not isinstance(affix, str):
                raise self._bad(node, f"{method} needs texts, not {text!r} and {affix!r}")
            return _METHODS[method](text, affix)

        return evaluate

    def _bad(self, node: ast.AST, what: str) -> _BadCondition:
        line, offset = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        # Of a condition over several lines, ast counts in each; and it counts bytes.
        before = self._text.lstrip().encode()[:offset].decode()
        return _BadCondition(_indent(self._text) + len(before) + 1 if line == 1 else 0, what)


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _fault(column: int, what: str) -> Fault:
    return Fault("where", 0, column, what)
