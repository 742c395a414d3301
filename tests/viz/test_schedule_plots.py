"""Plots of schedules."""

import pytest
import torch

from colddiff import Bridge, Cosine, CosineBetas, Linear, Power, viz


def test_schedules_are_drawn_as_they_are(plots):
    figure = viz.schedules([Linear(), Cosine(), Power(exponent=3.0), CosineBetas(num_steps=100)])
    severity, left, ratio = figure.axes
    assert [line.get_label() for line in severity.get_lines()] == ["linear", "cosine", "power, exponent 3"]
    t = torch.tensor(severity.get_lines()[0].get_xdata())
    for line, schedule in zip(severity.get_lines(), (Linear(), Cosine(), Power(exponent=3.0)), strict=True):
        assert list(line.get_ydata()) == schedule(t).tolist()
    a = CosineBetas(num_steps=100).alpha_bar(t)
    assert list(left.get_lines()[0].get_ydata()) == a.tolist()
    assert torch.allclose(torch.tensor(ratio.get_lines()[0].get_ydata())[1:], (a / (1 - a)).log()[1:])
    assert all(abs(end) < 20 for end in ratio.get_ylim()), "infinity at t = 0 has no place"


def test_one_schedule_has_one_colour_in_all_panels(plots):
    figure = viz.schedules([Bridge(), Cosine(), CosineBetas()])
    colours = {line.get_color() for ax in figure.axes for line in ax.get_lines() if line.get_label() == "cosine"}
    assert len(figure.axes) == 3 and len(colours) == 1
    with pytest.raises(ValueError, match="at least one schedule"):
        viz.schedules([])
