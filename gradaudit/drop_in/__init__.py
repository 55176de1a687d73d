"""Calls as people know them: functions as they are, arrays by position, and other checkers' signatures."""
