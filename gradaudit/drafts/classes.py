"""Guesses for classes: layers with parameters and state, activations and losses."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.coverage.naming import BACKWARD_METHODS, methods_of
from gradaudit.drafts.arguments import CACHE, OUTPUT, UPSTREAM, VARIED, arguments_of, split_arguments
from gradaudit.drafts.functions import Places, pair_subjects
from gradaudit.drafts.gradient_names import has_floats, matched_gradients
from gradaudit.drafts.guess import Guess, Subject
from gradaudit.drafts.held import Kept, gradient_of, left_for, misshapen, parameters_in, without_gradients
from gradaudit.drafts.inputs import Candidate, candidates, ranges
from gradaudit.drafts.settings import TRAINING, setting, takes_logarithm, tree_of, words_compared
from gradaudit.spec.op_targets import Convention, LayerTarget
from gradaudit.targets.python import accepted, as_array
from gradaudit.targets.structure import members_of

Array = NDArray[Any]

RATE = re.compile(r"lr|learning_?rate|eta|alpha|step_?size|rate")
"""What the argument of a backward is called that changes its own parameters."""

SIZES: tuple[tuple[str, tuple[int, ...]], ...] = (
    (
        r"c_?in|(in|input|fan_in|n_in|d_in|dim_in|inp)_?(ch|chan|features|size|dim|units|channels|nodes|shape|n)?|n_?inputs?|num_inputs?|nin",
        (4,),
    ),
    (
        r"c_?out|(out|output|fan_out|n_out|d_out|dim_out)_?(ch|chan|features|size|dim|units|channels|nodes|n)?|n_?outputs?|num_outputs?|nout",
        (5,),
    ),
    (r"(n_?|num_?)?(units|neurons|hidden|filters|hidden_?(size|dim|units))|n_?filters|out", (5,)),
    (r"(num_?|n_?)?(features|channels|dims?)|d|dim|size|normalized_shape|d_?model|embed(ding)?_?dim|c|hidden", (4,)),
    (r"vocab(_size)?|num_embeddings|n_?vocab|v", (7,)),
)
"""Sizes that constructors are given, no two alike."""


def class_subjects(places: Places, name: str, kind: type) -> Iterator[Subject]:
    """Yield the ways to make an instance of a class, and to call its forward and backward."""
    forward, backward = methods_of(kind)
    if not backward or not forward:
        return
    own = getattr(kind, forward), getattr(kind, backward)
    if all(_is_static(kind, method) for method in (forward, backward)):
        yield from pair_subjects(places, f"{name}.{forward}", f"{name}.{backward}", *own)
        return
    modes = _modes(kind)
    for made, arrays in _constructors(kind):
        for inputs, params in split_arguments(getattr(kind, forward), skip=0 if _is_static(kind, forward) else 1):
            if inputs:
                given, drawn = tuple(arrays), ranges(inputs, logarithm=takes_logarithm(kind))
                layer = Layer(places, name, kind, forward, backward, tuple(inputs), made, params, given, modes=modes)
                every = {**modes, **made, **params}
                yield Subject(
                    candidates(inputs, getattr(kind, forward)) | arrays, every, layer.outputs, layer.guesses, drawn
                )


TRAINS: Mapping[bool | str, bool | str] = {False: True, "test": "train", "eval": "train"}
"""What a layer is set to, that is made to be used, so that it trains."""


def _modes(kind: type) -> dict[str, bool | str]:
    """Return the attributes that switch to training what is made without."""
    found = {name: value for one in reversed(kind.__mro__) for name, value in vars(one).items()}
    trees = [tree_of(vars(one).get("__init__")) for one in reversed(kind.__mro__) if one is not object]
    for below in (below for tree in trees if tree for below in ast.walk(tree)):
        match below:
            case (
                ast.Assign(targets=[ast.Attribute(ast.Name("self"), name)], value=ast.Constant(value))
                | ast.AnnAssign(target=ast.Attribute(ast.Name("self"), name), value=ast.Constant(value))
            ):
                found |= {name: value}
    modes = {
        name: value for name, value in found.items() if TRAINING.fullmatch(name) and isinstance(value, (bool, str))
    }
    return {name: TRAINS[value] for name, value in modes.items() if value in TRAINS}


def _is_static(kind: type, method: str) -> bool:
    return isinstance(inspect.getattr_static(kind, method, None), (staticmethod, classmethod))


def _constructors(kind: type) -> Iterator[tuple[dict[str, Any], dict[str, tuple[Candidate, ...]]]]:
    """Yield what an instance may be made with: settings by name, and arrays that are its parameters."""
    if own_init(kind) is None:
        yield {}, {}
        return
    params, arrays = _made_with(kind)
    varied = {one.name: VARIED[one.name.lower()] for one in arguments_of(kind, 0) if _hides(one)}
    given = candidates(arrays) if arrays else {}
    if varied:
        yield params | varied, given
    yield params, given
    if any(size in (4, 5) for size in params.values()):  # sizes of images, or one size for a whole shape
        yield {key: (4, 7, 5) if "shape" in key else value for key, value in params.items()}, given
    if len(params) == 1 and not arrays:
        yield {next(iter(params)): (4, 5)}, {}
        yield {next(iter(params)): "relu"}, {}


ARRAYS = re.compile(r"w\w{0,7}|b\w{0,4}|gamma|beta|weights?|bias(es)?|params?|theta")
"""What arguments of constructors are called that are the parameters themselves."""

SLOPES = re.compile(r"\w*(prime|deriv\w*|grad\w*)|d_?\w*(act\w*|f|fn)")
FUNCTIONS = re.compile(r"act\w*|f|fn|func\w*|nonlin\w*|\w*_(fn|func|function|activation)")
"""Arguments that are functions: what is passed for both is a function with a derivative that is one as well."""


def _made_with(kind: type) -> tuple[dict[str, Any], list[str]]:
    """Return settings for the arguments that a constructor needs, and the names of those that are arrays."""
    tree = tree_of(own_init(kind))
    free = iter((4, 5, 3, 2, 7, 6))
    params: dict[str, Any] = {}
    arrays = []
    for one in arguments_of(kind, 0):
        if one.default is not one.empty:
            continue
        word = one.name.lower().strip("_")
        choices: tuple[tuple[bool, Any], ...] = (
            (bool(words_compared(one.name, tree)), next(iter(words_compared(one.name, tree)), None)),
            (_size(one.name) is not None, _size(one.name)),
            (bool(ARRAYS.fullmatch(word)), None),
            (bool(SLOPES.fullmatch(word)), np.cos),
            (bool(FUNCTIONS.fullmatch(word)), np.sin),
            (len(word) > 1 and setting(one.name) is not None, setting(one.name)),
            (
                one.annotation not in (int, "int") and setting("", one.annotation) is not None,
                setting("", one.annotation),
            ),
        )
        value = next((made for fits, made in choices if fits), 0)
        if value is None:
            arrays.append(one.name)
        else:
            params[one.name] = value if value != 0 else next(size for size in free if size not in params.values())
    return params, arrays


def _hides(one: inspect.Parameter) -> bool:
    """Whether an argument has a default that hides mistakes: a stride of one."""
    return one.name.lower() in VARIED and isinstance(one.default, int)


def own_init(kind: type) -> Callable[..., Any] | None:
    """Return the constructor of a class, its own or inherited; None where it takes nothing."""
    found = inspect.getattr_static(kind, "__init__", None)
    return None if found is object.__dict__["__init__"] else found


def _size(name: str) -> int | None:
    word = name.lower().strip("_")
    return next((options[0] for pattern, options in SIZES if re.fullmatch(pattern, word)), None)


@dataclass(frozen=True)
class Layer:
    """A class, made and called as is guessed.

    Attributes:
        places: where it is imported from.
        name: dotted, in its module.
        kind: the class.
        forward: the method.
        backward: the method.
        inputs: what forward takes, in order.
        made: settings of the constructor.
        params: settings of forward.
        given: the arrays that the constructor takes, by keyword.
        recorded: what each argument of backward was where a call was seen; empty where none was.
        modes: the attributes that are set once it is made.

    """

    places: Places
    name: str
    kind: type
    forward: str
    backward: str
    inputs: tuple[str, ...]
    made: Mapping[str, Any]
    params: Mapping[str, Any]
    given: tuple[str, ...]
    recorded: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Any] = field(default_factory=dict)

    def _instance(self, arrays: Mapping[str, Array]) -> Any:
        layer = self.kind(**deepcopy(dict(self.made)), **{name: arrays[name].copy() for name in self.given})
        for name, value in self.modes.items():
            setattr(layer, name, value)
        return layer

    def _run(self, arrays: Mapping[str, Array]) -> tuple[Any, list[Any]]:
        layer = self._instance(arrays)
        method = getattr(layer, self.forward)
        returned = method(*(arrays[name] for name in self.inputs), **self._settings)
        if returned is None and (place := _output_place(layer)):
            returned = getattr(layer, place)
        return layer, list(members_of(returned).values())

    def _output(self, arrays: Mapping[str, Array]) -> str:
        """Return where forward leaves its output, empty where it returns it."""
        layer = self._instance(arrays)
        returned = getattr(layer, self.forward)(*(arrays[name] for name in self.inputs), **self._settings)
        return _output_place(layer) if returned is None else ""

    def outputs(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Return the output that counts at these inputs."""
        return [out for out in map(as_array, self._run(arrays)[1][:1]) if out is not None]

    def guesses(self, arrays: Mapping[str, Array]) -> Iterator[Guess]:
        """Yield how backward may be called at these inputs, and where gradients lie then."""
        layer, members = self._run(arrays)
        at_first = parameters_in(self._instance(arrays))
        before = at_first or self._made_late(arrays)
        out = as_array(members[0])
        assert out is not None
        words, steps = self._arguments(getattr(layer, self.backward), members)
        upstream = np.random.default_rng(0).uniform(0.5, 1.5, out.shape)
        known = {"upstream": upstream, "output": members[0], **{name: arrays[name] for name in self.inputs}}
        if len(members) > 1:
            known["cache"] = members[1] if len(members) == 2 else tuple(members[1:])
        given = [known[word] for word in words] + ([1.0] if steps else [])
        backward = getattr(layer, self.backward)
        asked = {key: value for key, value in accepted(backward, self.params).items() if key in self.params}
        returned = backward(*given, **deepcopy(asked))
        after = parameters_in(layer)
        parameters = {kept.name: kept for kept in self._named(without_gradients(before), arrays)}
        moved = [name for name, kept in parameters.items() if steps and _moved(kept, after)]
        left = {
            name: place
            for name, kept in parameters.items()
            if (place := gradient_of(kept, after) or misshapen(kept, after))
        }
        everything = {**arrays, **{name: kept.array for name, kept in parameters.items()}}
        data = [name for name in arrays if has_floats(arrays[name])]
        returns: list[str] = []
        if returned is not None:
            returns = matched_gradients(returned, backward, [*data, *parameters], everything) or []
        else:
            left |= {name: place for name in data if (place := left_for(name, arrays[name], after, data))}
        returns = [name for name in returns if name not in left]
        left = {name: place for name, place in left.items() if name in parameters or name not in returns}
        gradients = [name for name in everything if name in {*returns, *left, *moved}]
        if not gradients:
            return
        convention: Convention = "derivative" if "upstream" not in words and out.size > 1 else "vjp"
        used = {name: kept for name, kept in parameters.items() if name in gradients and name not in self.given}
        target = LayerTarget(
            layer=self.places.named(self.name),
            forward=self.forward,
            backward=self.backward,
            args=tuple(words),
            returns=tuple(returns),
            parameters={name: kept.place for name, kept in used.items()},
            gradients=left,
            differentiable_outputs=(0,),
            accumulates=False,
            folder=self.places.folder,
            steps=steps,
            definitions_only=self.places.definitions_only,
            constructor=self.given,
            convention=convention,
            output=self._output(arrays),
            attributes={name: name for name in self.modes},
            builds=bool(used) and not at_first,
        )
        extra = {name: Candidate(kept.array.shape) for name, kept in used.items()}
        makes = ", ".join([*(f"{key}={value!r}" for key, value in self.made.items()), *self.given])
        modes = "".join(f", {key} = {value!r}" for key, value in self.modes.items())
        beside = "".join(f", {place} holds that of {name}" for name, place in left.items())
        called = f"{self.name}({makes}).{self.backward}({', '.join(words)})"
        said = f"{called} gives {', '.join(returns) or 'nothing'}{beside}{modes}"
        yield Guess(target, tuple(gradients), said, extra=extra)

    def _made_late(self, arrays: Mapping[str, Array]) -> list[Kept]:
        """Return the parameters that a layer makes when it sees its first input: what it holds and was not given.

        They can be set once it has been called. Where that changes what it gives, it is a step in time, and none is.
        """
        layer, members = self._run(arrays)
        seen = [*arrays.values(), *(one for one in members if isinstance(one, np.ndarray))]
        made = [
            replace(kept, array=kept.array.copy())
            for kept in parameters_in(layer)
            if kept.array.shape not in [one.shape for one in seen]
        ]
        again = members_of(getattr(layer, self.forward)(*(arrays[name] for name in self.inputs), **self._settings))
        return made if np.array_equal(members[0], next(iter(again.values()))) else []

    @property
    def _settings(self) -> dict[str, Any]:
        return deepcopy(dict(self.params))

    def _named(self, before: Sequence[Kept], arrays: Mapping[str, Array]) -> list[Kept]:
        """Return parameters by names that no input has, a parameter that the constructor is given by that one's."""
        named = []
        for kept in before:
            if given := [name for name in self.given if np.array_equal(arrays[name], kept.array)]:
                named.append(replace(kept, name=given[0]))
                continue
            name = kept.name if kept.name not in self.inputs else re.sub(r"\W+", "_", kept.place).strip("_")
            named.append(replace(kept, name=name if name not in self.inputs else f"{name}_kept"))
        return named

    def _arguments(self, backward: Callable[..., Any], members: Sequence[Any]) -> tuple[list[str], bool]:
        """Return what backward takes, in order, and whether a learning rate comes last.

        A loss that may do without an upstream often ignores it.
        """
        several = np.size(members[0]) > 1
        asked = [
            one
            for one in arguments_of(backward)
            if one.name not in self.params
            and (one.default is one.empty or one.name in self.inputs or (several and is_upstream(one)))
        ]
        steps = len(asked) > 1 and bool(RATE.fullmatch(asked[-1].name.lower()))
        asked = asked[:-1] if steps else asked
        words = self._words([one.name for one in asked], cached=len(members) > 1)
        return [words[one.name] for one in asked], steps

    def _words(self, asked: Sequence[str], *, cached: bool) -> dict[str, str]:
        """Return what each argument of backward means: by its name, else what is left over."""
        words = {name: self.recorded[name] for name in asked if self.recorded.get(name)}
        for name in asked:
            if name in words:
                continue
            if name in self.inputs:
                words[name] = name
            elif cached and CACHE.fullmatch(name.lower().strip("_")):
                words[name] = "cache"
            elif UPSTREAM.fullmatch(name.lower().strip("_")) and "upstream" not in words.values():
                words[name] = "upstream"
        left = [name for name in asked if name not in words]
        if left and "upstream" not in words.values() and self.backward in BACKWARD_METHODS:
            words[left.pop(0)] = "upstream"
        unused = [name for name in self.inputs if name not in words.values()]
        words |= zip(left, unused, strict=False)
        words |= {name: "output" if OUTPUT.fullmatch(name.lower()) else "upstream" for name in left[len(unused) :]}
        return words


def is_upstream(one: inspect.Parameter) -> bool:
    """Whether an argument is the upstream gradient; ``retain_grads=True`` is none."""
    return bool(UPSTREAM.fullmatch(one.name.lower().strip("_"))) and not isinstance(one.default, bool)


def _moved(kept: Kept, after: Sequence[Kept]) -> bool:
    now = next((one.array for one in after if one.place == kept.place), None)
    return now is not None and now.shape == kept.array.shape and bool((now != kept.array).any())


def _output_place(layer: Any) -> str:
    return next((name for name in ("output", "out", "outputs", "y", "a", "activations") if hasattr(layer, name)), "")
