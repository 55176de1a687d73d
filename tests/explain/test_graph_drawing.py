"""The drawing of a graph: every step once, below all that take from it, with what is wrong never folded away."""

from __future__ import annotations

import pytest

from gradaudit.explain.graph import Graph, GraphStep, Leaf
from gradaudit.report.explanation.glyphs import ASCII
from gradaudit.report.explanation.graph_drawing import MAX_LINES, draw_graph
from gradaudit.report.explanation.graph_plot import draw_graph as draw_graph_plot
from gradaudit.report.explanation.graph_plot import rows_of


def leaf(name: str, gradient: float | None = 1.0) -> Leaf:
    return Leaf(name, (2, 3), gradient)


def drawn(*steps: GraphStep, unreached: tuple[Leaf, ...] = ()) -> list[str]:
    return list(draw_graph(Graph(steps, unreached), ASCII))


def test_steps_without_parameters_share_a_line() -> None:
    lines = drawn(GraphStep("Mean", (1,), ()), GraphStep("Tanh", (2,), ()), GraphStep("Matmul", (), (leaf("w"),)))
    assert lines == ["Mean <- Tanh <- Matmul", "    w  [2, 3]        rms 1.0e+00 _"]


def test_a_residual_connection_is_drawn_once_below_both_ways() -> None:
    lines = drawn(
        GraphStep("Add", (1, 2), ()),
        GraphStep("Matmul", (2,), (leaf("inner"),)),
        GraphStep("Linear", (), (leaf("outer"),)),
    )
    names = [line.split()[0] for line in lines]
    assert names == ["Add", "Matmul", "inner", "[1]", "outer"]
    assert lines[0] == "Add and [1] below"
    assert lines[3] == "[1] Linear"


def test_the_shorter_of_two_ways_is_set_off() -> None:
    lines = drawn(
        GraphStep("Multiply", (1, 2), ()),
        GraphStep("Gate", (), (leaf("gate"),)),
        GraphStep("Tanh", (3,), ()),
        GraphStep("Matmul", (), (leaf("w"),)),
    )
    assert [line[:2] for line in lines] == ["Mu", "| ", "| ", "Ta", "  "]


def test_a_loss_that_nothing_made() -> None:
    assert drawn(unreached=(leaf("w", None),)) == ["X w  [2, 3]        gets no gradient"]


def test_a_large_graph_is_folded_but_for_what_is_wrong() -> None:
    steps = [
        GraphStep(f"Op{k}", (k + 1,) if k < 299 else (), (leaf(f"w{k}", 0.0 if k == 150 else 10.0**-k),))
        for k in range(300)
    ]
    lines = drawn(*steps)
    assert len(lines) < MAX_LINES
    assert any("w150" in line and "gradient all zero" in line for line in lines)
    assert "Op150" not in "\n".join(lines)
    assert sum("lines folded" in line for line in lines) == 2
    assert lines[0].startswith("Op0")
    assert "w299" in lines[-1]


def test_bars_follow_the_magnitude() -> None:
    lines = drawn(
        GraphStep("Matmul", (1,), (leaf("large", 1.0),)),
        GraphStep("Matmul", (2,), (leaf("middle", 1e-3),)),
        GraphStep("Matmul", (), (leaf("small", 1e-6),)),
    )
    heights = [ASCII.heights.index(line[-1]) for line in lines if "rms" in line]
    assert heights == sorted(heights, reverse=True)
    assert (heights[0], heights[-1]) == (len(ASCII.heights) - 1, 0)


class TestThePicture:
    """The same graph in a picture: a row for each step and parameter, and what is wrong in words."""

    CUT = Graph(
        (
            GraphStep("Add", (1, 2), ()),
            GraphStep("Matmul", (2,), (leaf("inner"), Leaf("", (2, 3), None, "model.py:3"))),
            GraphStep("Linear", (), (leaf("outer", 0.0),), "bias"),
        ),
        (leaf("lost", None),),
    )

    def test_has_a_row_for_each_step_and_parameter_and_says_what_is_lost(self) -> None:
        assert [(row.text, row.lost) for row in rows_of(self.CUT)] == [
            ("Add", ""),
            ("Matmul", ""),
            ("inner [2, 3]", ""),
            ("a tensor [2, 3]", "on no tape, made at model.py:3"),
            ("Linear", "does not name bias"),
            ("outer [2, 3]", "zero"),
            ("lost [2, 3]", "not reached"),
        ]

    def test_draws_a_way_from_each_step_to_each_that_it_is_computed_from(self) -> None:
        figure = pytest.importorskip("matplotlib.figure").Figure()
        axes = figure.subplots()
        draw_graph_plot(axes, self.CUT, "graph")
        ways = [patch.get_path().vertices for patch in axes.patches if type(patch).__name__ == "PathPatch"]
        assert sorted((way[0][1], way[-1][1]) for way in ways) == [(0, 1), (0, 4), (1, 4)]
        assert [way[1][0] < 0 for way in sorted(ways, key=lambda way: (way[0][1], way[-1][1]))] == [False, True, False]
        texts = {text.get_text() for text in axes.texts}
        assert {"Add", "inner [2, 3]", "1.0e+00", "not reached", "does not name bias"} <= texts

    @pytest.mark.parametrize("gradients", [[1.0, 1.0], [1e-30, 1e3], [float("inf"), 1.0], [float("nan"), 1.0]])
    def test_takes_gradients_of_any_size(self, gradients: list[float]) -> None:
        figure = pytest.importorskip("matplotlib.figure").Figure()
        step = GraphStep("Linear", (), tuple(leaf(f"w{k}", size) for k, size in enumerate(gradients)))
        axes = figure.subplots()
        draw_graph_plot(axes, Graph((step,), ()), "graph")
        bars = [patch.get_width() for patch in axes.patches]
        assert all(0.0 <= width < 4.0 for width in bars)
