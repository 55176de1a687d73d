"""From a mismatch to its likely cause: what has to be done to the analytical gradient to get the numerical one."""

from gradaudit.diagnosis.diagnose import diagnose, likely_causes
from gradaudit.diagnosis.evidence import Evidence

__all__ = ["Evidence", "diagnose", "likely_causes"]
