from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from models.amounts import amount, times
from models.errors import NothingToPlot, UnknownFamily, YearsInvalid
from models.registry import entries
from models.scatter import render_scatter
from models.zoo import Filter, zoo

SVG = "{http://www.w3.org/2000/svg}"


def test_the_table_has_every_architecture_oldest_first() -> None:
    rows = zoo()
    assert {row.name for row in rows} == set(entries())
    assert [row.year for row in rows] == sorted(row.year for row in rows)
    assert rows[0].name == "lenet5"


def test_rows_of_networks_with_and_without_weights() -> None:
    rows = {row.name: row for row in zoo()}
    resnet = rows["resnet50"]
    assert (resnet.weights, resnet.top1, resnet.gmacs, resnet.pixels) == (
        *(("IMAGENET1K_V2", "IMAGENET1K_V1"), 80.858, 4.089),
        224,
    )
    mobilenet = rows["mobilenet_v1"]
    assert (mobilenet.weights, mobilenet.top1, mobilenet.gmacs) == ((), None, pytest.approx(0.569, abs=5e-4))
    assert rows["efficientnet_b7"].pixels == 600


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (Filter(family="densenet"), {"densenet121", "densenet161", "densenet169", "densenet201"}),
        (Filter(max_parameters=1.3e6), {"lenet5", "mobilenet_v1_025", "squeezenet1_0", "squeezenet1_1"}),
        (Filter(max_gmacs=0.05), {"lenet5", "mobilenet_v1_025", "shufflenet_v2_x0_5"}),
        (Filter(years="1998-2012"), {"lenet5", "alexnet"}),
        (Filter(years="2017", pretrained=True), set()),
        (Filter(family="mobilenet", pretrained=True, max_gmacs=0.1), {"mobilenet_v3_small"}),
    ],
)
def test_filters(wanted: Filter, names: set[str]) -> None:
    assert {row.name for row in zoo(wanted)} == names


def test_filters_that_mean_nothing() -> None:
    with pytest.raises(UnknownFamily, match=r"'resnets' \(near: resnet"):
        zoo(Filter(family="resnets"))
    for text in ("new", "2014-", "2014-2015-2016"):
        with pytest.raises(YearsInvalid, match="expected 2015, or 2014-2017"):
            zoo(Filter(years=text))


def test_the_scatter_has_a_point_for_every_published_accuracy() -> None:
    rows = zoo()
    drawing = ElementTree.fromstring(render_scatter(rows))
    notes = [title.text or "" for title in drawing.iter(f"{SVG}title")][1:]
    assert len(notes) == sum(row.top1 is not None for row in rows)
    assert any("ResNet-50, 2015: top-1 80.9 %, 4.089 GMACs, 25.6 M" in note for note in notes)
    assert drawing.tag == f"{SVG}svg"


def test_more_accurate_is_higher_and_more_work_is_further_right() -> None:
    drawing = ElementTree.fromstring(
        render_scatter([row for row in zoo() if row.name in ("alexnet", "efficientnet_b7")])
    )
    places = {}
    for point in drawing.iter(f"{SVG}circle"):
        if (title := point.find(f"{SVG}title")) is not None and title.text:
            places[title.text.split(",")[0]] = (float(point.get("cx", 0)), float(point.get("cy", 0)))
    for point in drawing.iter(f"{SVG}rect"):
        if (title := point.find(f"{SVG}title")) is not None and title.text:
            places[title.text.split(",")[0]] = (float(point.get("x", 0)), float(point.get("y", 0)))
    assert places["EfficientNet-B7"][0] > places["AlexNet"][0]
    assert places["EfficientNet-B7"][1] < places["AlexNet"][1]


def test_nothing_to_plot() -> None:
    with pytest.raises(NothingToPlot):
        render_scatter(zoo(Filter(family="lenet")))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (156, "156"), (999, "999"), (999.9, "1.00 k"), (61706, "61.7 k"), (4231976, "4.23 M"), (569e6, "569 M")],
)
def test_amounts(value: float, text: str) -> None:
    assert amount(value) == text


def test_shapes_as_text() -> None:
    assert times((64, 56, 56)) == "64×56×56"
