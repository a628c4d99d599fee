// What a recipe may not say: each with the line to mend and what would be right.

import Recipes
import Testing

private let head = "model: a\noutput: b\n"  // two lines

@Suite struct RefusalTests {
    /// Lines after the head, the line of the error, and parts of its message.
    @Test(
        arguments: [
            ("calibration:\n  source: a\n  lenght: 5", 5, ["unknown key `calibration.lenght`", "nearest valid key is `length`"]),
            ("calibraton: {source: a}", 3, ["unknown key `calibraton`", "`calibration`"]),
            ("calibration: {source: a}\nrules:\n  - match: '*'\n    bit: 3", 6, ["unknown key `rules.0.bit`", "`bits`"]),
            ("calibration: {source: a}\nrules:\n  - bits: 3", 5, ["`rules.0.match` is missing"]),
            ("calibration: {source: a}\nrules: []", 4, ["`rules` must be a list of rules"]),
            ("calibration: {source: a}\nrules: {match: '*'}", 4, ["`rules` must be a list of rules"]),
            ("calibration: a.txt", 3, ["`calibration` must be a mapping"]),
            ("calibration: {sequences: 3}", 3, ["`calibration.source` is missing"]),
            ("calibration:\n  source: a\n  sequences: 0", 5, ["`calibration.sequences`", "found `0`"]),
            ("calibration:\n  source: a\n  sequences: 1.5", 5, ["whole number", "found `1.5`"]),
            ("calibration:\n  source: a\n  sequences: 9223372036854775807", 5, ["`calibration.sequences`", "whole number"]),
            ("calibration:\n  source: a\n  length: 1", 5, ["`calibration.length`"]),
            ("calibration:\n  source: a\n  length: 9223372036854775807", 5, ["`calibration.length`"]),
            ("calibration:\n  source: a\n  skip: 9223372036854775807", 5, ["`calibration.skip`"]),
            ("calibration:\n  source: a\n  seed: -1", 5, ["`calibration.seed`", "at least 0"]),
            ("calibration:\n  source: a\n  skip: 3\n  sampling: random", 5, ["`skip` has no meaning"]),
            ("calibration:\n  source: [[a]]", 4, ["`calibration.source.0` must be a path", "a mapping with `path`"]),
            ("calibration:\n  source: a\n  sampling: sorted", 5, ["one of consecutive, random", "found `sorted`"]),
            ("compress:\n  bits: 5", 4, ["`compress.bits` must be one of 2, 3, 4, 8", "found `5`"]),
            ("compress:\n  bits: four", 4, ["found `four`"]),
            ("compress:\n  group: 100", 4, ["`compress.group` must be one of"]),
            ("calibration:\n  source: a\n  sequences: 1:30", 5, ["whole number", "found `1:30`"]),
            ("calibration:\n  source: a\n  sequences: 1:0:0:0:0:0:0:0:0:0:0:0:0", 5, ["whole number"]),
            ("compress:\n  damping: 1:0.5", 4, ["`compress.damping` must be a number"]),
            ("compress:\n  symmetric: maybe", 4, ["true or false", "found `maybe`"]),
            ("compress:\n  damping: .nan", 4, ["`compress.damping` must be a number"]),
            ("compress:\n  damping: 1\n  max_damping: 0.5", 4, ["`damping` 1.0 is above `max_damping` 0.5"]),
            ("compress:\n  grid: solved\n  static_groups: true", 4, ["grid: solved", "static"]),
            ("compress:\n  method: rtn\n  grid: solved", 4, ["grid: solved", "rtn"]),
            ("compress:\n  act_order: groups\n  group: -1", 4, ["act_order: groups"]),
            ("compress: {type: fp4}", 3, ["`compress.type` must be one of int, fp8, int8, mxfp8, mxfp4, nvfp4", "found `fp4`"]),
            ("compress: {type: q4_k, bits: 4}", 3, ["`bits: 4` contradicts `type: q4_k`, whose codes have 4 bits: leave it out"]),
            ("compress: {type: q6_k, group: 128}", 3, ["`group: 128` contradicts `type: q6_k`, which has groups of 16 in blocks of 256"]),
            ("compress: {type: q4_k, strategy: channel}", 3, ["`strategy: channel` contradicts `type: q4_k`"]),
            ("compress: {type: q4_0, symmetric: false}", 3, ["`symmetric` says nothing of `type: q4_0`"]),
            ("compress: {type: q4_0, scales: signed}", 3, ["`scales` says nothing of `type: q4_0`"]),
            ("compress: {type: q5_k, grid: solved}", 3, ["`grid: solved` is not there for `type: q5_k`"]),
            ("compress: {type: q5_k, act_order: true, static_groups: false}", 3, ["takes columns of blocks apart"]),
            ("compress: {type: q8_0, method: obq}", 3, ["`type: q8_0` goes with `method: gptq` or rtn"]),
            ("compress: {type: fp8, bits: 4}", 3, ["`bits: 4` contradicts `type: fp8`, whose numbers have 8 bits"]),
            ("compress: {type: nvfp4, group: 32}", 3, ["`group: 32` contradicts `type: nvfp4`, which has groups of 16"]),
            ("compress: {type: fp8, strategy: group}", 3, ["`type: fp8` has no `strategy: group`; what it has is channel, tensor, block"]),
            ("compress: {type: int8, strategy: tensor}", 3, ["`type: int8` has no `strategy: tensor`"]),
            ("compress: {strategy: channel}", 3, ["`strategy: channel` goes with a `type` such as fp8"]),
            ("compress: {type: int8, symmetric: false}", 3, ["`symmetric: false` contradicts `type: int8`"]),
            ("compress: {type: fp8, scales: signed}", 3, ["`scales: signed` contradicts `type: fp8`"]),
            ("compress: {activations: dynamic}", 3, ["`activations: dynamic` goes with a `type` whose inputs clients quantize, such as fp8 or nvfp4"]),
            ("compress: {type: mxfp8, activations: static}", 3, ["not among what clients do with the inputs of `type: mxfp8`: dynamic"]),
            ("compress: {type: fp8, strategy: block, activations: static}", 3, ["the inputs of `type: fp8` by block: dynamic"]),
            ("compress: {type: q4_k, activations: static}", 3, ["`activations: static` contradicts `type: q4_k`"]),
            ("compress: {type: fp8, activations: static, method: rtn}", 3, ["needs the inputs of a calibration, which `method: rtn` does not look at"]),
            ("compress: {type: fp8, activations: static}\nexperts: {starved: rtn}", 4, ["`experts.starved: rtn` leaves experts without inputs"]),
            ("compress: {activation_type: fp4}", 3, ["`compress.activation_type` must be one of"]),
            ("compress: {activation_type: int8}", 3, ["`activation_type: int8` is not among the numbers to which clients round the inputs of integers: fp8"]),
            ("compress: {activation_type: fp8, bits: 8}", 3, ["`activation_type: fp8` goes with symmetric integers of `bits: 4` in groups of 128"]),
            ("compress: {activation_type: fp8, group: 64}", 3, ["`activation_type: fp8` goes with symmetric integers"]),
            ("compress: {activation_type: fp8, symmetric: false}", 3, ["`activation_type: fp8` goes with symmetric integers"]),
            ("compress: {activation_type: fp8, activations: static}", 3, ["not among what clients do with the inputs of integers in fp8: dynamic"]),
            ("compress: {activation_type: fp8, activations: none}", 3, ["not among what clients do with the inputs of integers in fp8: dynamic"]),
            ("compress: {type: fp8, activation_type: int8}", 3, ["round the inputs of `type: fp8`: fp8"]),
            ("compress: {type: mxfp4, activation_type: mxfp8, activations: static}", 3, ["the inputs of `type: mxfp4` in mxfp8: dynamic"]),
            ("compress: {type: nvfp4, activation_type: nvfp4}", 3, ["`activation_type` of `type: nvfp4` needs `activations`: static"]),
            ("compress: {bits: ternary, activation_type: fp8}", 3, ["`activation_type: fp8` contradicts `bits: ternary`"]),
            ("compress: {bits: ternary, activations: dynamic}", 3, ["`activations: dynamic` contradicts `bits: ternary`"]),
            ("compress: {type: q4_k, activation_type: fp8}", 3, ["`activation_type: fp8` contradicts `type: q4_k`"]),
            ("compress: {activation_type: fp8, bits: {average: 3}}", 3, ["`activation_type: fp8` goes with symmetric integers"]),
            ("compress: {type: fp8, strategy: tensor, grid: mse}", 3, ["`grid: mse` is a search by rows or groups"]),
            ("compress: {type: mxfp4, method: obq}", 3, ["`type: mxfp4` goes with `method: gptq` or rtn, not with `method: obq`"]),
            ("compress: {type: fp8, method: sparsegpt, sparsity: 0.5}", 3, ["`type: fp8` goes with `method: gptq` or rtn"]),
            ("compress: {type: fp8, sparsity: 0.5}", 3, ["`sparsity` goes with `method: sparsegpt`"]),
            ("compress: {type: fp8, bits: {average: 3}}", 3, ["a budget of `bits` is for integers"]),
            ("compress: {type: fp8}\nrules: [{match: '*', bits: 4}]", 4, ["`bits: 4` contradicts `type: fp8`"]),
            ("compress: {method: sparsegpt}", 3, ["`method: sparsegpt` needs `sparsity`"]),
            ("compress:\n  method: wanda\n  sparsity: 1", 5, ["`compress.sparsity` must be a share above 0 and below 1", "found `1`"]),
            ("compress:\n  method: wanda\n  sparsity: 4:4", 5, ["found `4:4`"]),
            (
                "compress: {bits: 4, sparsity: 0.5}", 3,
                ["`sparsity` goes with `method: sparsegpt`, admm, exactobs, magnitude or wanda, not with `method: gptq`"]
            ),
            ("compress: {mask_block: 64}", 3, ["`mask_block` goes with `method: sparsegpt`"]),
            ("compress: {method: wanda, sparsity: 0.5, mask_block: 64}", 3, ["`mask_block` goes with `method: sparsegpt`, not with `method: wanda`"]),
            ("compress: {method: sparsegpt, sparsity: 2:4, mask_block: 64}", 3, ["`mask_block` goes with a share, not with the pattern 2:4"]),
            ("compress:\n  method: sparsegpt\n  mask_block: 100", 5, ["`compress.mask_block` must be one of 32, 64, 128, 256, 512", "found `100`"]),
            ("compress: {method: sparsegpt, sparsity: 0.5, group: 64}", 3, ["`group` is of quantization", "give `bits`"]),
            ("compress: {method: admm, sparsity: 2:4, bits: 4}", 3, ["`method: admm` prunes and does not quantize", "`method: sparsegpt`"]),
            ("compress: {method: admm, sparsity: 2:4, group: 64}", 3, ["`group` is of quantization", "does not quantize: leave it out"]),
            ("compress: {method: exactobs, sparsity: 2:4, bits: 4}", 3, ["`method: exactobs` prunes and does not quantize", "`method: sparsegpt`"]),
            ("compress: {method: exactobs, sparsity: 2:4, grid: mse}", 3, ["`grid` is of quantization", "does not quantize: leave it out"]),
            ("compress: {method: exactobs}", 3, ["`method: exactobs` needs `sparsity`"]),
            ("compress: {method: exactobs, sparsity: 0.5, act_order: true}", 3, ["`method: exactobs` takes columns", "leave out `act_order`"]),
            ("compress: {method: exactobs, sparsity: 0.5, mask_block: 64}", 3, ["`mask_block` goes with `method: sparsegpt`, not with `method: exactobs`"]),
            ("compress: {sparsity_block: 4}", 3, ["`sparsity_block` goes with `method: exactobs`, not with `method: gptq`"]),
            ("compress: {method: admm, sparsity: 0.5, sparsity_block: 4}", 3, ["`sparsity_block` goes with `method: exactobs`, not with `method: admm`"]),
            ("compress: {method: exactobs, sparsity: 2:4, sparsity_block: 4}", 3, ["`sparsity_block: 4` goes with a share, not with the pattern 2:4"]),
            ("compress: {method: exactobs, sparsity: 0.5, sparsity_block: 3}", 3, ["`compress.sparsity_block` must be one of 2, 4, 8, 16", "found `3`"]),
            ("compress: {method: obq, act_order: true}", 3, ["columns of each row in an order of its own: leave out `act_order`"]),
            ("compress: {method: obq, static_groups: false}", 3, ["`method: obq` finds all grids before", "leave out `static_groups`"]),
            ("compress: {method: obq, grid: solved}", 3, ["`grid: solved` is for groups", "use `grid: hessian`"]),
            ("compress: {method: obq, sparsity: 0.5}", 3, ["`sparsity` goes with", "not with `method: obq`"]),
            ("compress: {method: obq, target: dense}", 3, ["`target: dense` goes with `method: gptq`, not with `method: obq`"]),
            ("compress: {target: dense, stream_strength: 1.5}", 3, ["`compress.stream_strength` must be", "found `1.5`"]),
            ("compress: {target: dense, stream_strength: -0.5}", 3, ["`compress.stream_strength` must be", "found `-0.5`"]),
            ("compress: {target: dense, stream_strength: all}", 3, ["`compress.stream_strength` must be", "found `all`"]),
            ("compress: {stream_strength: 0.5}", 3, ["`stream_strength` goes with `target: dense`"]),
            ("compress: {target: layer, stream_strength: 0.5}", 3, ["`stream_strength` goes with `target: dense`"]),
            ("compress: {target: dense}\nrules: [{match: '*', target: layer, stream_strength: 1}]", 4, ["`stream_strength` goes with `target: dense`"]),
            ("compress: {method: obq, bits: {average: 3}}", 3, ["a budget of `bits` goes with `method: gptq` alone"]),
            ("compress: {method: admm, sparsity: 0.5, mask_block: 64}", 3, ["`mask_block` goes with `method: sparsegpt`, not with `method: admm`"]),
            ("compress: {method: magnitude, sparsity: 0.5, grid: mse}", 3, ["`grid` is of quantization"]),
            ("compress: {method: sparsegpt, sparsity: 0.5, act_order: true}", 3, ["takes columns as they stand: leave out `act_order`"]),
            ("compress: {method: sparsegpt, sparsity: 1:3, bits: 4, group: 64}", 3, ["a group of 64 columns does not hold whole patterns of 3"]),
            ("compress: {method: sparsegpt, sparsity: 0.5, bits: 4, mask_block: 64}", 3, ["`mask_block: 64` does not cover whole groups of 128"]),
            ("compress: {method: wanda, sparsity: 0.5, bits: 4, grid: hessian}", 3, ["`method: wanda` does not round with"]),
            ("calibration: &a {source: a}\nevaluation: *a\nignore: ['*', '*', '*']\nmax_shard_size: 0", 6, ["`max_shard_size` must be a size such as 5GB"]),
            ("max_shard_size: 0", 3, ["`max_shard_size` must be a size such as 5GB"]),
            ("memory_per_rank: all", 3, ["`memory_per_rank` must be a size such as 5GB", "found `all`"]),
            ("memory_per_host: 3 apples", 3, ["`memory_per_host` must be a size such as 5GB", "found `3 apples`"]),
            ("weights: mmap", 3, ["`weights` must be one of mapped, pread, broadcast", "found `mmap`"]),
            ("max_shard_size: 5XB", 3, ["found `5XB`"]),
            ("calibration: {source: a}\nkv_cache: int8", 4, ["`kv_cache` must be one of fp8", "found `int8`"]),
            ("calibration: {source: a}\nkv_cache: true", 4, ["`kv_cache` must be one of fp8"]),
            ("calibration: {source: a}\nkv_cache: {strategy: tensor}", 4, ["`kv_cache.type` is missing"]),
            ("calibration: {source: a}\nkv_cache: {type: fp8, strategy: channel}", 4, ["`kv_cache.strategy` must be one of tensor, attn_head"]),
            ("calibration: {source: a}\nkv_cache: {type: fp8, scale: 1}", 4, ["unknown key `kv_cache.scale`"]),
            ("calibration: {source: a}\nformat: gguf\nkv_cache: fp8", 5, ["`kv_cache` goes with `format: compressed-tensors`, and gguf has no place"]),
            ("calibration: {source: a}\nformat: gptq\nkv_cache: fp8", 5, ["`kv_cache` goes with `format: compressed-tensors`, and gptq"]),
            ("calibration: {source: a}\nformat: qmoe\nkv_cache: fp8", 5, ["`kv_cache` goes with `format: compressed-tensors`, and qmoe"]),
            ("compress: {method: rtn}\nkv_cache: fp8", 4, ["`kv_cache` needs a `calibration`"]),
            ("format: exl2", 3, ["one of compressed-tensors, gptq, gptq_v2, marlin, dense"]),
            ("ignore: lm_head", 3, ["`ignore` must be a list of texts"]),
            ("ignore:\n  - 're:('", 4, ["`re:(` is not a valid pattern"]),
            ("evaluation: {source: a, length: 1}", 3, ["`evaluation.length`"]),
        ] as [(String, Int, [String])])
    func saysWhereAndWhat(yaml: String, line: Int, parts: [String]) {
        let error = refusal(head + yaml)
        #expect(error?.place == "r.yaml:\(line)")
        for part in parts { #expect(error?.message.contains(part) == true, "\(error.map(\.description) ?? "no error")") }
    }

    @Test(arguments: ["- a\n- b", "just a text", "42"])
    func aRecipeIsAMapping(yaml: String) {
        #expect(refusal(yaml)?.message.contains("must be a mapping") == true)
    }

    @Test(arguments: ["a: [", "a: b: c", "\"open", "a: *nobody", "\tmodel: a"])
    func whatIsNoYAML(yaml: String) {
        #expect(refusal(yaml) != nil)
    }

    @Test(arguments: ["bits: 3\n  bits: 4", "'bits': 3\n  bits: 4"])
    func keysMayNotOccurTwice(yaml: String) {
        #expect(refusal(head + "compress:\n  " + yaml)?.description.contains("bits") == true)
    }
}
