import numpy as np
from pydantic import BaseModel

from gradaudit.targets import TargetKind
from gradaudit.targets.python import PythonOp


class Settings(BaseModel, extra="forbid"):
    coefficients: list[float]


def open_polynomial(target, case):
    settings = Settings.model_validate(target.settings)
    polynomial = np.polynomial.Polynomial(settings.coefficients)
    (name,) = case.audited
    return PythonOp(
        forward_function=lambda x: polynomial(x),
        backward_function=lambda u, x: u * polynomial.deriv()(x),
        params={},
        backward_params={},
        args=("upstream", name),
        returns=(name,),
        counted=target.differentiable_outputs,
    )


POLYNOMIAL = TargetKind(open_polynomial, validate=Settings.model_validate)
