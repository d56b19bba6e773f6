"""Lightning's MLFlowLogger with checkpoints as artifacts."""

import warnings

warnings.filterwarnings("ignore")
import os

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger
from torch.utils.data import DataLoader, TensorDataset


class Line(lightning.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(2, 1)

    def training_step(self, batch, _):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


x = torch.arange(64, dtype=torch.float32).reshape(32, 2) / 64
logger = MLFlowLogger(
    experiment_name="lightning", run_name="line", tracking_uri=os.environ["MLFLOW_TRACKING_URI"], log_model=True
)
trainer = lightning.Trainer(
    max_epochs=3,
    logger=logger,
    log_every_n_steps=1,
    accelerator="cpu",
    enable_progress_bar=False,
    enable_model_summary=False,
    callbacks=[ModelCheckpoint(dirpath="checkpoints", filename="last", monitor="train_loss")],
)
trainer.fit(Line(), DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=8))
