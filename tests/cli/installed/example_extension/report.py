from gradaudit.report.files import AtomicFile
from gradaudit.report.formats import ReportFormat
from gradaudit.report.results_report import ResultsReport


class VerdictsReport(ResultsReport):
    def text(self, results, *, interrupted):
        rows = (f"{one.op},{one.input},{one.verdict}" for one in results)
        return "\n".join(["op,input,verdict", *rows]) + "\n"


VERDICTS = ReportFormat("a table of verdicts", lambda path, cases: VerdictsReport(AtomicFile(path)))
