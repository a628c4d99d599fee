"""Copies of a checkpoint in the number types in which large models are published, and the same numbers in fp32.

Each form gives a linear's tensors and, by the published formula in fp32, the numbers for which they stand. Files are cut between weights and their scales,
and every seventh scale lies in the next file, so that only the index tells where one is.
"""
import json
import re
import shutil

import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationScheme
from safetensors.torch import load_file, save_file

FP8 = torch.float8_e4m3fn


def spread(scale, height, width, rows, columns):
    """The scale of every element, blocks at the edges being cut."""
    return scale.repeat_interleave(height, 0)[:rows].repeat_interleave(width, 1)[:, :columns]


def largest(weight, height, width):
    """The largest magnitude of each block."""
    rows, columns = weight.shape
    padded = torch.zeros(-(-rows // height) * height, -(-columns // width) * width)
    padded[:rows, :columns] = weight.abs()
    return padded.view(padded.shape[0] // height, height, -1, width).amax((1, 3)).clamp(min=1e-12)


def power_of_two(scale):
    return torch.exp2(torch.ceil(torch.log2(scale)))


class Float8:
    """DeepSeek's form: F8_E4M3 with scales of blocks, in fp32, bf16 or exponents; without a block size one scale of the tensor."""

    def __init__(self, block, scales="f32", suffix="_scale_inv", more=None):
        self.block, self.scales, self.suffix = block, scales, suffix
        self.configuration = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": block} | (more or {})
        if scales in ("e8m0", "u8"):
            self.configuration["scale_fmt"] = "ue8m0"

    def tensors(self, name, weight):
        rows, columns = weight.shape
        height, width = self.block or (rows, columns)
        scale = largest(weight, height, width) / 448
        if self.scales in ("e8m0", "u8"):
            scale = power_of_two(scale)
            stored = (torch.log2(scale) + 127).to(torch.uint8)
            stored = stored.view(torch.float8_e8m0fnu) if self.scales == "e8m0" else stored
        else:
            stored = scale.to(dict(f32=torch.float32, bf16=torch.bfloat16)[self.scales])
            scale = stored.float()
        every = spread(scale, height, width, rows, columns)
        numbers = (weight / every).clamp(-448, 448).to(FP8)
        parts = {name: numbers, name + self.suffix: stored if self.block else stored.reshape([])}
        return parts | {name.replace(".weight", ".input_scale"): torch.ones(1)}, numbers.float() * every


class CompressedTensors:
    """A form of compressed-tensors, made by its own compressor."""

    def __init__(self, format, weights, activations=None, scale_type=torch.bfloat16):
        self.format, self.scale_type = format, scale_type
        self.weights = dict(symmetric=True, dynamic=False) | weights
        group = dict(targets=["Linear"], weights=self.weights, input_activations=activations, output_activations=None, format=format)
        self.configuration = {
            "quant_method": "compressed-tensors", "format": format, "quantization_status": "compressed", "ignore": ["lm_head"],
            "kv_cache_scheme": None, "global_compression_ratio": None, "version": "0.20.0", "config_groups": {"group_0": group}}
        self.scheme = QuantizationScheme(targets=["Linear"], weights=self.weights)
        self.compressor = BaseCompressor.get_value_from_registry(format)

    def tensors(self, name, weight):
        linear = name.removesuffix(".weight")
        rows, columns = weight.shape
        strategy = self.weights["strategy"]
        height, width = {
            "tensor": (rows, columns), "channel": (1, columns), "block": tuple(self.weights.get("block_structure", (1, 1)))
        }.get(strategy, (1, self.weights.get("group_size")))
        reach = {("float", 8): 448.0, ("float", 4): 6.0}.get((self.weights["type"], self.weights["num_bits"]), 2 ** (self.weights["num_bits"] - 1) - 0.5)
        scale = largest(weight, height, width) / reach
        state = {"weight": weight}
        if strategy == "tensor_group":
            whole = 448 * 6 / weight.abs().max()
            state["weight_global_scale"] = whole.reshape(1)
            scale = (scale * whole).to(FP8).float().clamp(min=0.125)
        elif self.format.startswith("mx"):
            scale = power_of_two(scale)
        else:
            scale = scale.to(self.scale_type).float()
            scale = scale.reshape(1) if strategy == "tensor" else scale
        if not self.weights["symmetric"]:
            state["weight_zero_point"] = (torch.arange(scale.numel()) % 7 - 3).to(torch.int8).reshape(scale.shape)
        parts = self.compressor.compress(state | {"weight_scale": scale}, self.scheme)
        if self.format in ("float-quantized", "int-quantized", "naive-quantized", "pack-quantized"):
            parts["weight_scale"] = parts["weight_scale"].to(self.scale_type)
        every = spread(scale.reshape(-(-rows // height), -(-columns // width)), height, width, rows, columns)
        if "weight_packed" in parts and self.format != "pack-quantized":
            packed = parts["weight_packed"]
            codes = torch.stack([packed & 15, packed >> 4], -1).reshape(rows, columns).long()
            numbers = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])[codes]
            exact = numbers * (every / state["weight_global_scale"] if strategy == "tensor_group" else every)
        elif self.format == "pack-quantized":
            words, bits = parts["weight_packed"], self.weights["num_bits"]
            codes = torch.stack([words >> (bits * place) & (2**bits - 1) for place in range(32 // bits)], -1).reshape(rows, -1)[:, :columns]
            exact = (codes - 2 ** (bits - 1)).float() * every
        else:
            numbers = parts["weight"].float()
            if "weight_zero_point" in parts:
                numbers = numbers - spread(parts["weight_zero_point"].float(), height, width, rows, columns)
            exact = numbers * every
        return {f"{linear}.{part}": tensor for part, tensor in parts.items() if isinstance(tensor, torch.Tensor)}, exact

    def decompressed(self, tensors, linear):
        """What the package makes of a linear's tensors."""
        own = {key.removeprefix(linear + "."): tensor for key, tensor in tensors.items() if key.startswith(linear + ".")}
        if self.format in ("float-quantized", "int-quantized", "naive-quantized", "pack-quantized"):
            own["weight_scale"] = own["weight_scale"].float()
        return self.compressor.decompress(own, self.scheme)["weight"]


class ModelOpt:
    """Model Optimizer's form: FP8 of a tensor or by row, MXFP8, and NVFP4, whose scales are multiplied by a number of the tensor."""

    def __init__(self, algorithm, groups=None):
        self.algorithm = algorithm
        self.configuration = {
            "quant_method": "modelopt", "quant_algo": algorithm, "ignore": ["lm_head"], "producer": {"name": "modelopt", "version": "0.47.0"},
            "kv_cache_scheme": {"dynamic": False, "num_bits": 8, "type": "float"}, "config_groups": {"group_0": groups or {"targets": ["Linear"]}}}

    def tensors(self, name, weight):
        rows, columns = weight.shape
        linear = name.removesuffix(".weight")
        height, width = {"FP8": (rows, columns), "FP8_PER_CHANNEL_PER_TOKEN": (1, columns), "MXFP8": (1, 32), "NVFP4": (1, 16)}[self.algorithm]
        scale = largest(weight, height, width) / (6 if self.algorithm == "NVFP4" else 448)
        parts = {f"{linear}.input_scale": torch.ones(1), f"{linear}.k_scale": torch.ones(1)}
        if self.algorithm == "NVFP4":
            whole = weight.abs().max() / (6 * 448)
            stored = (scale / whole).clamp(2**-9, 448).to(FP8)
            every = spread(stored.float() * whole, height, width, rows, columns)
            table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
            codes = ((weight / every).abs().clamp(max=6)[..., None] - table).abs().argmin(-1)
            numbers = table[codes] * torch.where(weight < 0, -1.0, 1.0)
            codes = codes + 8 * (weight < 0)
            parts |= {name: (codes[:, ::2] | codes[:, 1::2] << 4).to(torch.uint8), f"{linear}.weight_scale_2": whole}
        elif self.algorithm == "MXFP8":
            scale = power_of_two(scale)
            stored, every = (torch.log2(scale) + 127).to(torch.uint8), spread(scale, height, width, rows, columns)
        else:
            stored, every = scale.squeeze(), spread(scale, height, width, rows, columns)
        if self.algorithm != "NVFP4":
            parts[name] = (weight / every).clamp(-448, 448).to(FP8)
            numbers = parts[name].float()
        return parts | {f"{linear}.weight_scale": stored}, numbers * every


TOKENS = dict(num_bits=8, type="float", strategy="token", symmetric=True, dynamic=True)

FORMS = {
    "fp8": lambda: Float8([128, 128]),
    "fp8-odd-blocks": lambda: Float8([96, 80], "bf16", more={"modules_to_not_convert": ["lm_head"], "fmt": "float8_e4m3fn"}),
    "fp8-exponents": lambda: Float8([32, 32], "e8m0"),
    "fp8-bytes": lambda: Float8([128, 64], "u8"),
    "fp8-tensor": lambda: Float8(None, suffix="_scale", more={"activation_scheme": "static", "ignored_layers": None}),
    "float-tensor": lambda: CompressedTensors("float-quantized", dict(num_bits=8, type="float", strategy="tensor")),
    "float-channel": lambda: CompressedTensors("float-quantized", dict(num_bits=8, type="float", strategy="channel"), TOKENS),
    "float-block": lambda: CompressedTensors(
        "float-quantized", dict(num_bits=8, type="float", strategy="block", block_structure=[128, 128]), scale_type=torch.float32),
    "naive-float": lambda: CompressedTensors("naive-quantized", dict(num_bits=8, type="float", strategy="channel")),
    "int8": lambda: CompressedTensors("int-quantized", dict(num_bits=8, type="int", strategy="channel"), TOKENS | dict(type="int")),
    "int8-asymmetric": lambda: CompressedTensors("int-quantized", dict(num_bits=8, type="int", strategy="channel", symmetric=False)),
    "mxfp8": lambda: CompressedTensors("mxfp8-quantized", dict(num_bits=8, type="float", strategy="group", group_size=32, scale_dtype="torch.uint8")),
    "mxfp4": lambda: CompressedTensors("mxfp4-pack-quantized", dict(num_bits=4, type="float", strategy="group", group_size=32, scale_dtype="torch.uint8")),
    "nvfp4": lambda: CompressedTensors(
        "nvfp4-pack-quantized", dict(num_bits=4, type="float", strategy="tensor_group", group_size=16, scale_dtype="torch.float8_e4m3fn")),
    "modelopt-fp8": lambda: ModelOpt("FP8"),
    "modelopt-channel": lambda: ModelOpt("FP8_PER_CHANNEL_PER_TOKEN"),
    "modelopt-mxfp8": lambda: ModelOpt("MXFP8"),
    "modelopt-nvfp4": lambda: ModelOpt("NVFP4"),
    "int4": lambda: CompressedTensors("pack-quantized", dict(num_bits=4, type="int", strategy="group", group_size=32)),
}


def is_linear(name, tensor):
    return tensor.ndim == 2 and re.search(r"(_proj|_proj_with_mqa|[.]w[123])[.]weight$", name) is not None


def write(form, source, folder, number_type="bfloat16", files=3):
    """Writes a copy of a checkpoint in a form, into `folder/quantized`, and one with the same numbers in fp32, into `folder/plain`.

    - number_type: what config.json of the copy calls the type of the model's numbers.
    """
    tensors, exact = {}, {}
    for path in sorted(source.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            if is_linear(name, tensor):
                parts, exact[name] = form.tensors(name, tensor.float())
                tensors |= parts
            else:
                tensors[name] = tensor
                exact[name] = tensor.float()
    configuration = json.loads((source / "config.json").read_text()) | {"torch_dtype": number_type, "dtype": number_type}
    for name in ("quantized", "plain"):
        (folder / name).mkdir(parents=True)
        for file in ("tokenizer.json", "tokenizer_config.json"):
            if (source / file).exists():
                shutil.copy(source / file, folder / name)
    names = list(tensors)
    places, scales = {}, 0
    for position, name in enumerate(names):
        file = position * files // len(names)
        if "scale" in name:
            scales += 1
            file = (file + (scales % 7 == 0)) % files
        places[name] = f"model-{file + 1:05d}-of-{files:05d}.safetensors"
    for file in sorted(set(places.values())):
        save_file({name: tensors[name].contiguous() for name in names if places[name] == file}, folder / "quantized" / file, metadata={"format": "pt"})
    (folder / "quantized/model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    (folder / "quantized/config.json").write_text(json.dumps(configuration | {"quantization_config": form.configuration}))
    save_file({name: tensor.contiguous() for name, tensor in exact.items()}, folder / "plain/model.safetensors", metadata={"format": "pt"})
    (folder / "plain/config.json").write_text(json.dumps(configuration | {"torch_dtype": "float32", "dtype": "float32"}))
    return tensors, exact
