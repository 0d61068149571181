"""Figures: functions that take arrays or frames and return a Matplotlib Figure; they never show or save one."""
