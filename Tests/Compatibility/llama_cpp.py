"""llama.cpp's library as xllamacpp ships it: its quantizers, which `llama-quantize` calls, and perplexity by its own arithmetic."""
import ctypes
import math

import numpy
import xllamacpp


class Parameters(ctypes.Structure):
    """Settings of a model or a context, of which only the beginning is known here. They are passed in memory, so that more bytes than there are do no harm."""

    _fields_ = [("bytes", ctypes.c_uint8 * 1024)]


class Batch(ctypes.Structure):
    """`llama_batch` of llama.h."""

    _fields_ = [
        ("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p), ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)), ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8))]


POINTER, FLOATS = ctypes.c_void_p, ctypes.POINTER(ctypes.c_float)
LOG = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, POINTER)
SIGNATURES = {
    "ggml_quantize_chunk": (
        ctypes.c_size_t, ctypes.c_int, FLOATS, POINTER, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, FLOATS),
    "llama_log_set": (None, LOG, POINTER), "llama_backend_init": (None,),
    "llama_model_default_params": (Parameters,), "llama_model_load_from_file": (POINTER, ctypes.c_char_p, Parameters), "llama_model_free": (None, POINTER),
    "llama_model_get_vocab": (POINTER, POINTER), "llama_vocab_n_tokens": (ctypes.c_int32, POINTER),
    "llama_tokenize": (
        ctypes.c_int32, POINTER, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32), ctypes.c_int32, ctypes.c_bool, ctypes.c_bool),
    "llama_context_default_params": (Parameters,), "llama_init_from_model": (POINTER, POINTER, Parameters), "llama_free": (None, POINTER),
    "llama_get_memory": (POINTER, POINTER), "llama_memory_clear": (None, POINTER, ctypes.c_bool),
    "llama_batch_init": (Batch, ctypes.c_int32, ctypes.c_int32, ctypes.c_int32), "llama_batch_free": (None, Batch),
    "llama_decode": (ctypes.c_int32, POINTER, Batch), "llama_get_logits": (FLOATS, POINTER),
}
library = ctypes.CDLL(next(module.__file__ for module in (xllamacpp, getattr(xllamacpp, "xllamacpp", xllamacpp)) if module.__file__.endswith(".so")))
for name, (result, *arguments) in SIGNATURES.items():
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
errors = []
# Kept, since the library calls it as long as it lives.
keep_errors = LOG(lambda level, text, _: errors.append(text.decode(errors="replace").strip()) if level >= 4 else None)
library.llama_log_set(keep_errors, None)
library.llama_backend_init()


def quantize(weights, kind, importance=None):
    """Blocks of ggml's type number `kind` of weights [rows, columns]; importance: [columns], how much a column's error counts."""
    weights = numpy.ascontiguousarray(weights, numpy.float32)
    rows, columns = weights.shape
    target = numpy.empty(weights.nbytes, numpy.uint8)
    if importance is not None:
        importance = numpy.ascontiguousarray(importance, numpy.float32)
        assert importance.shape == (columns,)
    count = library.ggml_quantize_chunk(
        kind, weights.ctypes.data_as(FLOATS), target.ctypes.data, 0, rows, columns,
        importance.ctypes.data_as(FLOATS) if importance is not None else None)
    return target[:count]


def context_parameters(length, threads):
    parameters = library.llama_context_default_params()
    numbers = ctypes.cast(ctypes.pointer(parameters), ctypes.POINTER(ctypes.c_int32))
    # n_ctx, n_batch, n_ubatch, n_seq_max; further on n_threads and n_threads_batch, which are 4 where nobody says otherwise.
    if numbers[0:4] != [512, 2048, 512, 1] or numbers[7:9] != [4, 4]:
        raise SystemExit(f"the context's settings of this llama.cpp begin otherwise than they did: {numbers[0:9]}; use the version of setup.sh")
    numbers[0], numbers[1], numbers[7], numbers[8] = length, length, threads, threads
    return parameters


def load(path):
    errors.clear()
    model = library.llama_model_load_from_file(str(path).encode(), library.llama_model_default_params())
    if not model:
        raise SystemExit(f"llama.cpp does not load {path}: {'; '.join(errors)}")
    return model


def tokenize(path, texts):
    """The ids of each text, without tokens around it; names of special tokens in a text are these tokens."""
    model = load(path)
    vocabulary = library.llama_model_get_vocab(model)
    found = []
    for text in texts:
        data = text.encode()
        ids = numpy.empty(len(data) + 8, numpy.int32)
        count = library.llama_tokenize(vocabulary, data, len(data), ids.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)), len(ids), False, True)
        assert count >= 0, text
        found.append(ids[:count].tolist())
    library.llama_model_free(model)
    return found


def perplexity(path, ids, length, threads):
    """Of ids [windows, length], every token but a window's first."""
    model = load(path)
    context = library.llama_init_from_model(model, context_parameters(length, threads))
    vocabulary = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
    batch = library.llama_batch_init(length, 0, 1)
    total, count = 0.0, 0
    for window in ids:
        library.llama_memory_clear(library.llama_get_memory(context), True)
        batch.n_tokens = length
        for place, id in enumerate(window):
            batch.token[place], batch.pos[place], batch.n_seq_id[place], batch.logits[place] = int(id), place, 1, 1
            batch.seq_id[place][0] = 0
        if library.llama_decode(context, batch) != 0:
            raise SystemExit(f"llama.cpp fails on {path}: {'; '.join(errors)}")
        logits = numpy.ctypeslib.as_array(library.llama_get_logits(context), (length, vocabulary))
        for first in range(0, length - 1, 256):
            part = logits[first:min(first + 256, length - 1)].astype(numpy.float64)
            part -= part.max(1, keepdims=True)
            chosen = part[numpy.arange(len(part)), window[first + 1:first + 1 + len(part)]]
            total += float(numpy.sum(numpy.log(numpy.exp(part).sum(1)) - chosen))
        count += length - 1
    library.llama_batch_free(batch)
    library.llama_free(context)
    library.llama_model_free(model)
    return math.exp(total / count)
