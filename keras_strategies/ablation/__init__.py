"""Which strategy helps on your model and your data: a measured study.

`study` trains a baseline with and without each strategy, in pairs and over several
seeds, and says which ones help, hurt or make no difference, with the fewest trainings.
`catalog` has ready strategies, `Strategy` makes your own. `learning_curve` measures
what more data would give.
"""

from keras_strategies.ablation._best_result import BestResult
from keras_strategies.ablation._learning_curve import LearningCurve
from keras_strategies.ablation._not_applicable import NotApplicable
from keras_strategies.ablation._ready import catalog
from keras_strategies.ablation._sizes import learning_curve
from keras_strategies.ablation._strategy import Strategy
from keras_strategies.ablation._strategy_result import StrategyResult
from keras_strategies.ablation._study import study
from keras_strategies.ablation._study_result import StudyResult

__all__ = [
    "BestResult",
    "LearningCurve",
    "NotApplicable",
    "Strategy",
    "StrategyResult",
    "StudyResult",
    "catalog",
    "learning_curve",
    "study",
]
