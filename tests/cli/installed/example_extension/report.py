from gradaudit.report.files import AtomicFile
from gradaudit.report.formats import ReportFormat
from gradaudit.report.results_report import ResultsReport


class VerdictsReport(ResultsReport):
    def text(self, results, *, interrupted):
        rows = (f"{one.op},{one.input},{one.verdict}" for one in results)
        return "\n".join(["op,input,verdict", *rows]) + "\n"


def verdicts(path, cases):
    return VerdictsReport(AtomicFile(path))


VERDICTS = ReportFormat("a table of verdicts", verdicts)
