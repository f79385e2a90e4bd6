"""Fine-tuning Crowd3DNet on the people of one photograph or scene: the last step of the release's recipe."""

from crowd3d.tuning.data import FineTuningData
from crowd3d.tuning.fine_tuning import FineTuningConfig, fine_tune

__all__ = ["FineTuningConfig", "FineTuningData", "fine_tune"]
