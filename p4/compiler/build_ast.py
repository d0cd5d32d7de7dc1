"""Builds syntax-tree nodes: one method per rule of grammar.lark, called as the rule is reduced.

Holds no state. What the grammar lets through and the language does not (an expression standing as a
statement, say) ends in `BuildError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lark import v_args

from weft.p4.compiler import ast
from weft.p4.compiler.build_expressions import Annotations, BuildError, ExpressionBuilder
from weft.p4.compiler.lexer import Token, annotation_tokens
from weft.p4.compiler.source import NOWHERE


def _split(children: Sequence[Any], kind: type) -> list[Any]:
    return [c for c in children if isinstance(c, kind)]


@v_args(inline=True)
class Builder(ExpressionBuilder):
    """See the module's comment. Parameters mirror the rule's kept symbols."""

    def start(self, *declarations: ast.Node) -> ast.Program:
        where = declarations[0].location if declarations else NOWHERE
        return ast.Program(where, list(declarations))

    # -------------------------------------------------------------------------- annotations

    def annotations(self, *items: ast.Annotation) -> list[ast.Annotation]:
        return list(items)

    def annotation(self, name: Token, body: Token | None = None) -> ast.Annotation:
        tokens = None if body is None else [t.text for t in annotation_tokens(body)]
        return ast.Annotation(name.location, name.text, tokens)

    def annotation_list(
        self, name: Token, _open: Token, items: list[ast.Expression] | None
    ) -> ast.Annotation:
        return ast.Annotation(name.location, name.text, items=items or [])

    def annotation_pairs(
        self,
        name: Token,
        _open: Token,
        pairs: tuple[list[tuple[str, ast.Expression]], Token | None],
    ) -> ast.Annotation:
        if pairs[1] is not None:
            raise BuildError(pairs[1].location, "'...' cannot stand in an annotation")
        return ast.Annotation(name.location, name.text, pairs=pairs[0])

    # --------------------------------------------------------------------------- parameters

    def parameters(self, _open: Token, *items: ast.Parameter | None) -> list[ast.Parameter]:
        return [p for p in items if p is not None]

    def parameter(
        self,
        annotations: Annotations,
        direction: str | None,
        type_: ast.TypeRef,
        name: Token,
        default: ast.Expression | None,
    ) -> ast.Parameter:
        return ast.Parameter(
            type_.location, annotations or [], name.text, name.location, direction or "", type_,
            default,
        )  # fmt: skip

    def direction(self, token: Token) -> str:
        return token.text

    def type_parameters(self, *names: Token) -> list[ast.TypeParameter]:
        return [ast.TypeParameter(n.location, [], n.text, n.location) for n in names]

    # -------------------------------------------------------------------- parsers, controls

    def parser_type(
        self,
        annotations: Annotations,
        keyword: Token,
        name: Token,
        type_parameters: list[ast.TypeParameter] | None,
        parameters: list[ast.Parameter],
    ) -> ast.BlockType:
        return ast.BlockType(
            keyword.location, annotations or [], name.text, name.location, keyword.text,
            type_parameters or [], parameters,
        )  # fmt: skip

    control_type = parser_type
    package_type = parser_type

    def parser(
        self,
        signature: ast.BlockType,
        constructor: list[ast.Parameter] | None,
        _open: Token,
        *body: Any,
    ) -> ast.Parser:
        return ast.Parser(
            signature.location, signature.annotations, signature.name, signature.name_location,
            signature, constructor or [], [b for b in body if not isinstance(b, ast.State)],
            _split(body, ast.State),
        )  # fmt: skip

    def state(
        self, annotations: Annotations, keyword: Token, name: Token, _open: Token, *rest: Any
    ) -> ast.State:
        return ast.State(
            keyword.location, annotations or [], name.text, name.location, list(rest[:-1]), rest[-1]
        )

    def transition_to(self, keyword: Token, name: Token) -> ast.Transition:
        return ast.Transition(keyword.location, name.text, name.location)

    def transition_select(
        self,
        keyword: Token,
        select: Token,
        _open: Token,
        keys: list[ast.Expression] | None,
        _brace: Token,
        *cases: ast.SelectCase,
    ) -> ast.Transition:
        return ast.Transition(keyword.location, None, select.location, keys or [], list(cases))

    def select_case(self, keyset: ast.Expression, name: Token) -> ast.SelectCase:
        return ast.SelectCase(keyset.location, keyset, name.text, name.location)

    def value_set(
        self,
        annotations: Annotations,
        keyword: Token,
        element: ast.TypeRef,
        _open: Token,
        size: ast.Expression,
        name: Token,
    ) -> ast.ValueSet:
        return ast.ValueSet(
            keyword.location, annotations or [], name.text, name.location, element, size
        )

    def tuple_keyset(self, opening: Token, *items: ast.Expression) -> ast.Expression:
        return ast.TupleKeyset(opening.location, list(items))

    def mask(self, base: ast.Expression, mask: ast.Expression) -> ast.Mask:
        return ast.Mask(base.location, base, mask)

    def range(self, low: ast.Expression, high: ast.Expression) -> ast.Range:
        return ast.Range(low.location, low, high)

    def keyset_default(self, token: Token) -> ast.Default:
        return ast.Default(token.location)

    def keyset_any(self, token: Token) -> ast.DontCare:
        return ast.DontCare(token.location)

    def control(
        self,
        signature: ast.BlockType,
        constructor: list[ast.Parameter] | None,
        _open: Token,
        *rest: Any,
    ) -> ast.Control:
        # rest: local declarations, the word `apply`, the body
        return ast.Control(
            signature.location, signature.annotations, signature.name, signature.name_location,
            signature, constructor or [], list(rest[:-2]), rest[-1],
        )  # fmt: skip

    # ------------------------------------------------------------------------------ externs

    def extern_type(
        self,
        annotations: Annotations,
        keyword: Token,
        name: Token,
        type_parameters: list[ast.TypeParameter] | None,
        _open: Token,
        *methods: ast.Prototype,
    ) -> ast.ExternType:
        return ast.ExternType(
            keyword.location, annotations or [], name.text, name.location, type_parameters or [],
            list(methods),
        )  # fmt: skip

    def extern_function(
        self, annotations: Annotations, keyword: Token, prototype: ast.Prototype
    ) -> ast.ExternFunction:
        prototype.annotations = annotations or []
        return ast.ExternFunction(
            keyword.location, annotations or [], prototype.name, prototype.name_location, prototype
        )

    def method(
        self, annotations: Annotations, abstract: Token | None, prototype: ast.Prototype
    ) -> ast.Prototype:
        prototype.annotations = annotations or []
        prototype.is_abstract = abstract is not None
        return prototype

    def constructor(
        self, annotations: Annotations, name: Token, parameters: list[ast.Parameter]
    ) -> ast.Prototype:
        nothing = ast.BaseTypeRef(name.location, "void")
        return ast.Prototype(
            name.location, annotations or [], name.text, name.location, nothing, [], parameters,
            is_constructor=True,
        )  # fmt: skip

    def prototype(
        self,
        result: ast.TypeRef,
        name: Token,
        type_parameters: list[ast.TypeParameter] | None,
        parameters: list[ast.Parameter],
    ) -> ast.Prototype:
        return ast.Prototype(
            result.location, [], name.text, name.location, result, type_parameters or [], parameters
        )

    def function(
        self, annotations: Annotations, prototype: ast.Prototype, body: ast.Block
    ) -> ast.Function:
        prototype.annotations = annotations or []
        return ast.Function(
            prototype.location, annotations or [], prototype.name, prototype.name_location,
            prototype, body,
        )  # fmt: skip

    def instantiation(
        self,
        annotations: Annotations,
        type_: ast.TypeRef,
        arguments: list[ast.Argument],
        name: Token,
        initializer: list[ast.Function | ast.Instantiation] | None,
    ) -> ast.Instantiation:
        return ast.Instantiation(
            type_.location, annotations or [], name.text, name.location, type_, arguments,
            initializer,
        )  # fmt: skip

    def object_initializer(
        self, _open: Token, *items: ast.Function | ast.Instantiation
    ) -> list[ast.Function | ast.Instantiation]:
        return list(items)

    # --------------------------------------------------------------------------- statements

    def constant(
        self,
        annotations: Annotations,
        keyword: Token,
        type_: ast.TypeRef,
        name: Token,
        value: ast.Expression,
    ) -> ast.Constant:
        return ast.Constant(
            keyword.location, annotations or [], name.text, name.location, type_, value
        )

    def variable(
        self,
        annotations: Annotations,
        type_: ast.TypeRef,
        name: Token,
        value: ast.Expression | None,
    ) -> ast.Variable:
        return ast.Variable(
            type_.location, annotations or [], name.text, name.location, type_, value
        )

    def block(self, annotations: Annotations, opening: Token, *items: Any) -> ast.Block:
        return ast.Block(opening.location, annotations or [], list(items))

    def empty(self) -> ast.Empty:
        return ast.Empty(NOWHERE)

    def return_statement(self, keyword: Token, value: ast.Expression | None) -> ast.Return:
        return ast.Return(keyword.location, value)

    def break_statement(self, keyword: Token) -> ast.Break:
        return ast.Break(keyword.location)

    def continue_statement(self, keyword: Token) -> ast.Continue:
        return ast.Continue(keyword.location)

    def exit_statement(self, keyword: Token) -> ast.Exit:
        return ast.Exit(keyword.location)

    def conditional(
        self,
        keyword: Token,
        _open: Token,
        condition: ast.Expression,
        then: Any,
        _else: Token | None,
        otherwise: Any,
    ) -> ast.If:
        return ast.If(keyword.location, condition, then, otherwise)

    def call_statement(self, call: ast.Expression) -> Any:
        if isinstance(call, ast.Call) and isinstance(call.callee, ast.TypeMember):
            applied = call.callee.name == "apply"
            if applied:
                return ast.DirectApplication(call.location, call.callee.base, call.arguments)
        if not isinstance(call, ast.Call):
            raise BuildError(
                call.location,
                "syntax error: an expression alone is not a statement, expected a call or an "
                "assignment",
            )
        return ast.CallStatement(call.location, call)

    def assignment(self, target: ast.Expression, *rest: Any) -> ast.Assignment:
        op = rest[0].text if len(rest) == 2 else "="
        return ast.Assignment(target.location, target, op, rest[-1])

    def switch(
        self,
        keyword: Token,
        _open: Token,
        subject: ast.Expression,
        _brace: Token,
        *cases: ast.SwitchCase,
    ) -> ast.Switch:
        return ast.Switch(keyword.location, subject, list(cases))

    def switch_case(self, label: ast.Expression, body: ast.Block | None) -> ast.SwitchCase:
        return ast.SwitchCase(label.location, label, body)

    def for_loop(
        self,
        annotations: Annotations,
        keyword: Token,
        _open: Token,
        init: list[Any],
        condition: ast.Expression,
        update: list[Any],
        body: Any,
    ) -> ast.For:
        return ast.For(keyword.location, annotations or [], init, condition, update, body)

    def for_init(self, *items: Any) -> list[Any]:
        return [i for i in items if i is not None]

    for_update = for_init

    def for_in(
        self,
        annotations: Annotations,
        keyword: Token,
        _open: Token,
        variable_annotations: Annotations,
        type_: ast.TypeRef,
        name: Token,
        _in: Token,
        collection: ast.Expression,
        body: Any,
    ) -> ast.ForIn:
        variable = ast.Variable(
            type_.location, variable_annotations or [], name.text, name.location, type_, None
        )
        return ast.ForIn(keyword.location, annotations or [], variable, collection, body)

    # ------------------------------------------------------------------------------- tables

    def table(
        self, annotations: Annotations, keyword: Token, name: Token, _open: Token, *parts: Any
    ) -> ast.Table:
        table = ast.Table(
            keyword.location, annotations or [], name.text, name.location, None, None, None, [], []
        )
        for part in parts:
            self._add_property(table, part)
        return table

    def _add_property(self, table: ast.Table, part: Any) -> None:
        if isinstance(part, ast.Property):
            if part.name in table.order:
                raise BuildError(part.location, f"duplicate property '{part.name}' in table")
            table.properties.append(part)
            table.order.append(part.name)
            return
        kind, location, value = part
        if getattr(table, kind) is not None:
            raise BuildError(location, f"duplicate property '{kind}' in table")
        setattr(table, kind, value)
        table.order.append(kind)

    def table_key(self, keyword: Token, _open: Token, *keys: ast.KeyElement) -> Any:
        return "keys", keyword.location, list(keys)

    def table_actions(self, keyword: Token, _open: Token, *items: ast.ActionReference) -> Any:
        return "actions", keyword.location, list(items)

    def table_entries(
        self,
        annotations: Annotations,
        const: Token | None,
        keyword: Token,
        _open: Token,
        *entries: ast.Entry,
    ) -> Any:
        value = ast.Entries(keyword.location, annotations or [], const is not None, list(entries))
        return "entries", keyword.location, value

    def table_custom(
        self, annotations: Annotations, const: Token | None, name: Token, value: ast.Expression
    ) -> ast.Property:
        return ast.Property(name.location, annotations or [], const is not None, name.text, value)

    def key_element(
        self, expression: ast.Expression, kind: Token, annotations: Annotations
    ) -> ast.KeyElement:
        return ast.KeyElement(
            expression.location, expression, kind.text, kind.location, annotations or []
        )

    def action_item(
        self, annotations: Annotations, reference: ast.ActionReference
    ) -> ast.ActionReference:
        reference.annotations = annotations or []
        return reference

    def action_reference(
        self, name: ast.Name, arguments: list[ast.Argument] | None
    ) -> ast.ActionReference:
        return ast.ActionReference(name.location, [], name.name, name.absolute, arguments)

    def entry(
        self,
        const: Token | None,
        priority: ast.Expression | None,
        keyset: ast.Expression,
        action: ast.ActionReference,
        annotations: Annotations,
    ) -> ast.Entry:
        return ast.Entry(
            keyset.location, const is not None, priority, keyset, action, annotations or []
        )

    def priority(self, _keyword: Token, *value: Any) -> ast.Expression:
        last = value[-1]
        return self.integer(last) if isinstance(last, Token) else last

    def action(
        self,
        annotations: Annotations,
        keyword: Token,
        name: Token,
        parameters: list[ast.Parameter],
        body: ast.Block,
    ) -> ast.Action:
        return ast.Action(
            keyword.location, annotations or [], name.text, name.location, parameters, body
        )
