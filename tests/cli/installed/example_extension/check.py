from gradaudit.checks.probe import Probe
from gradaudit.results import Finding


def large_gradient(probe: Probe):
    """Yield a finding for each gradient with an entry above a hundred."""
    for name, gradient in probe.gradients.items():
        largest = float(abs(gradient).max(initial=0.0))
        if largest > 100:
            message = f"the gradient of {name} has an entry of {largest:.3g}"
            evidence = {"array": name, "largest": largest, "fails": True}
            yield Finding("large-gradient", message, evidence)
