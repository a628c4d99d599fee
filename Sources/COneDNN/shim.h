// oneDNN 2's C interface: bf16 matrix products with fp32 accumulation.
#pragma once
#include <oneapi/dnnl/dnnl.h>

#if DNNL_VERSION_MAJOR != 2
#error "Cleave is written against oneDNN 2 (libdnnl-dev); version 3 describes a product differently"
#endif
