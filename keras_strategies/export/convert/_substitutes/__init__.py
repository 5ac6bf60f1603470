"""Operations that LiteRT lacks, written with those that it has (worker side).

`substitutes` lists the formulas, `graph_calls` puts them into a SavedModel; `layers`
has layers of Keras that are traced otherwise. Every formula that is used is compared
with the operation it stands for, and named in the result.
"""
