// Oniguruma, regular expressions with limits, the engine of the reference tokenizer library. The shims hide mutable C globals, which Swift 6 refuses to touch.
#pragma once
#include <oniguruma.h>

static inline int COniguruma_initialize(void) {
    OnigEncoding encodings[] = {ONIG_ENCODING_UTF8};
    return onig_initialize(encodings, 1);
}

static inline int COniguruma_new(OnigRegex *regex, const OnigUChar *pattern, const OnigUChar *end, OnigErrorInfo *info) {
    return onig_new(regex, pattern, end, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_DEFAULT, info);
}

// onig_error_code_to_str is variadic, which Swift cannot call. `info` may be null for an error of a search.
static inline int COniguruma_message(OnigUChar *buffer, int code, OnigErrorInfo *info) {
    return info ? onig_error_code_to_str(buffer, code, info) : onig_error_code_to_str(buffer, code);
}
