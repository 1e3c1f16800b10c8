"""A plugin of vLLM for tests on a CPU: weights that can be replaced, and sent through a file.

vLLM's CPU backend packs the weights of linear layers when it loads them and drops the parameter, so that no later
weights can be loaded (plain GRPOTrainer fails, too); and its own ways to send weights need CUDA.
"""

from dataclasses import dataclass


def register() -> None:
    """What vLLM calls in each of its processes."""
    keep_linear_weights()
    add_file_transfer()
    pass_over_seeds()
    say_tokens_as_before()


def keep_linear_weights() -> None:
    import torch.nn.functional as functional
    import vllm.model_executor.layers.utils as utils

    def keep(layer, remove_weight):
        layer.cpu_linear = lambda x, weight, bias: functional.linear(x, weight, bias)

    utils.dispatch_cpu_unquantized_gemm = keep


def pass_over_seeds() -> None:
    """Draw requests that name a seed from the engine's own random numbers.

    vLLM winds the generator of a seeded request back where it drops a token, and generators of a CPU have no offset:
    the engine ends with "CPU Generator does not use offset".
    """
    from vllm.sampling_params import SamplingParams, SamplingType

    @property
    def without_seed(self):
        return SamplingType.GREEDY if self.temperature < 1e-5 else SamplingType.RANDOM

    SamplingParams.sampling_type = without_seed


def say_tokens_as_before() -> None:
    """Have `/inference/v1/generate` say log-probabilities as verifiers 0.4.0 reads them, as "token_id:N".

    vLLM 0.32 does so in its text mode, with --return-tokens-as-token-ids, and no longer by default.
    """
    from vllm.entrypoints.scale_out.token_in_token_out.protocol import GenerateRequest

    GenerateRequest.model_fields["output_mode"].default = "text"
    GenerateRequest.model_rebuild(force=True)


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
