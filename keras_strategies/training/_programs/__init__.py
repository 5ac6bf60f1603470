"""Compiled programs that train models which were built alike.

One question, one answer: `model_form` tells models by what they compute with, and finds
their state and the numbers that may be variables; `StepAudit` sees what only a trace
tells; `SharedProgram` trains one model in the place of another. Around it stand two
that differ in what they know beforehand: `ProgramCache` looks a model up among many (a
search), a study keeps one program for each of its arms, whose models should be equal,
and for bit-identical results holds no numbers as variables. `fit_many` builds one model
only, so that it needs the form and the audit, but no other model's state.
"""
