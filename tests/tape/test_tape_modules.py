"""How a model's parameters are found."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradaudit.tape import Module, Tensor


class Holder(Module):
    """A model of whatever it is made with."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def parameter() -> Tensor:
    return Tensor(np.ones(2), requires_grad=True)


def test_paths_lead_through_attributes_lists_tuples_and_dicts() -> None:
    model = Holder(
        first=parameter(), blocks=[Holder(query=parameter()), (parameter(),)], heads={"a": Holder(bias=parameter())}
    )
    assert list(model.named_parameters()) == ["first", "blocks[0].query", "blocks[1][0]", "heads['a'].bias"]
    assert model.parameters() == list(model.named_parameters().values())


def test_a_path_leads_to_its_tensor() -> None:
    model = Holder(blocks=[Holder(query=parameter()), Holder(query=parameter())])
    assert model.named_parameters()["blocks[1].query"] is model.blocks[1].query


def test_one_that_is_shared_is_counted_once() -> None:
    shared = parameter()
    model = Holder(encoder=Holder(table=shared), decoder=Holder(table=shared, bias=parameter()))
    assert list(model.named_parameters()) == ["encoder.table", "decoder.bias"]


def test_constants_and_what_is_no_model_are_none() -> None:
    assert Holder(mask=Tensor([1.0]), size=3, name="model", other=None, array=np.ones(2)).parameters() == []


def test_a_model_that_contains_itself_is_entered_once() -> None:
    model = Holder(weight=parameter())
    model.whole, model.parts = model, [model]
    assert list(model.named_parameters()) == ["weight"]


def test_gradients_are_cleared_all_at_once() -> None:
    model = Holder(first=parameter(), rest=[parameter()])
    sum((tensor * tensor).sum() for tensor in model.parameters()).backward()
    assert all(tensor.grad is not None for tensor in model.parameters())
    model.zero_grad()
    assert all(tensor.grad is None for tensor in model.parameters())
