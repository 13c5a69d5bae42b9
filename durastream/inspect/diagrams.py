"""A graph as text for other programs: Mermaid and Graphviz."""

from __future__ import annotations

from typing import Final

from durastream.inspect import sanitize
from durastream.inspect.graph import Graph, Node

_LABEL_MAX: Final = 60
_COLOURS: Final = {"done": "#2e7d32", "failed": "#c62828", "waiting": "#1565c0", "cancelled": "#757575"}


def to_mermaid(graph: Graph) -> str:
    """A flowchart, as GitHub shows it in a ```mermaid block."""
    lines = ["flowchart TD"]
    lines += (f'  n{_name(node)}["{_escaped(_text(node), _IN_MERMAID)}"]:::{node.outcome}' for node in graph.nodes)
    lines += (f"  n{_safe(edge.source)} --> n{_safe(edge.target)}" for edge in graph.edges)
    lines += (f"  classDef {outcome} stroke:{colour}" for outcome, colour in _COLOURS.items())
    return "\n".join(lines) + "\n"


def to_dot(graph: Graph) -> str:
    """A digraph for `dot -Tsvg`."""
    lines = ["digraph orchestration {", "  node [shape=box]"]
    lines += (
        f'  "{node.id}" [label="{_escaped(_text(node), _IN_DOT)}", color="{_COLOURS[node.outcome]}"]'
        for node in graph.nodes
    )
    lines += (f'  "{edge.source}" -> "{edge.target}"' for edge in graph.edges)
    return "\n".join([*lines, "}"]) + "\n"


def _text(node: Node) -> str:
    many = f" × {node.count:,}" if node.count > 1 else ""
    tries = f" ({node.attempts} attempts)" if node.attempts > 1 else ""
    return f"{node.label or node.kind}{many}{tries}"


def _name(node: Node) -> str:
    return _safe(node.id)


def _safe(node_id: str) -> str:
    return node_id.replace("-", "_")


_IN_MERMAID: Final[dict[int, str]] = {ord(char): f"#{ord(char)};" for char in '"#;<>&[](){}|`\\'}
_IN_DOT: Final[dict[int, str]] = {ord('"'): '\\"', ord("\\"): "\\\\"}


def _escaped(text: str, table: dict[int, str]) -> str:
    return sanitize.line(text, _LABEL_MAX).translate(table)
