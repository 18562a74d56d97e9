"""How well preferences are written, recalled, kept to and profiled: ``convrec eval memory``."""
