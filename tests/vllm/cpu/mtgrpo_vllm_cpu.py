"""A plugin of vLLM for tests on a CPU: weights that can be replaced, and sent through a file.

vLLM's CPU backend packs the weights of linear layers when it loads them and drops the parameter, so that no later
weights can be loaded (plain GRPOTrainer fails, too); and its own ways to send weights need CUDA.
"""

from dataclasses import dataclass


def register() -> None:
    """What vLLM calls in each of its processes."""
    keep_linear_weights()
    add_file_transfer()


def keep_linear_weights() -> None:
    import torch.nn.functional as functional
    import vllm.model_executor.layers.utils as utils

    def keep(layer, remove_weight):
        layer.cpu_linear = lambda x, weight, bias: functional.linear(x, weight, bias)

    utils.dispatch_cpu_unquantized_gemm = keep


def add_file_transfer() -> None:
    from vllm.distributed.weight_transfer.base import (
        WeightTransferEngine,
        WeightTransferInitInfo,
        WeightTransferUpdateInfo,
    )
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory

    if "file" in WeightTransferEngineFactory._registry:
        return

    @dataclass
    class Init(WeightTransferInitInfo):
        pass

    @dataclass
    class Update(WeightTransferUpdateInfo):
        path: str

    class FileTransfer(WeightTransferEngine):
        init_info_cls, update_info_cls = Init, Update

        def init_transfer_engine(self, init_info):
            pass

        def start_weight_update(self):
            pass

        def finish_weight_update(self):
            pass

        def shutdown(self):
            pass

        def update_weights(self, update_info):
            self.receive_weights(self.parse_update_info(update_info))

        def receive_weights(self, update_info):
            from safetensors.torch import load_file

            for pair in load_file(update_info.path).items():
                self.model.load_weights([pair])

    WeightTransferEngineFactory.register_engine("file", FileTransfer)
