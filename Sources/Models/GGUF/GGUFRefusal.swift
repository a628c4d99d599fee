// What is said of a model that GGUF cannot hold.

internal import Failures

/// - Parameter what: that the model has, and that llama.cpp, or this writer, has no place for.
func beyondGGUF(_ what: String) -> PipelineError {
    PipelineError(.badInput, "GGUF is not written or read here for models with \(what); use another format, such as compressed-tensors")
}
