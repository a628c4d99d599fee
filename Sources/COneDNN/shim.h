// oneDNN's C interface, versions 2 and 3: bf16 matrix products with fp32 accumulation.
//
// The two versions say the same things with other types: what version 2 passes by value (a layout of an operand, a description of a product) stands
// behind handles in version 3. The functions below give both the interface of version 3.
#pragma once
#include <oneapi/dnnl/dnnl.h>
#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR != 2 && DNNL_VERSION_MAJOR != 3
#error "Cleave is written against oneDNN 2 and 3"
#endif
#if DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_OMP && DNNL_CPU_THREADING_RUNTIME != DNNL_RUNTIME_SEQ
#error "Cleave needs a oneDNN whose CPU runtime is OpenMP or sequential: it cannot confine another to one thread, so bits would follow from its threads"
#endif

// How an operand lies in memory: extents, type of elements and strides, or an order of oneDNN's own. Destroyed by COneDNN_layout_destroy.
typedef struct COneDNN_layout *COneDNN_layout_t;

#if DNNL_VERSION_MAJOR == 2

// `found` is null for a query that has no answer.
static inline dnnl_status_t COneDNN_layout_copy(COneDNN_layout_t *layout, const dnnl_memory_desc_t *found) {
    if (!found) return dnnl_invalid_arguments;
    dnnl_memory_desc_t *copy = (dnnl_memory_desc_t *)malloc(sizeof *copy);
    if (!copy) return dnnl_out_of_memory;
    memcpy(copy, found, sizeof *copy);
    *layout = (COneDNN_layout_t)copy;
    return dnnl_success;
}

static inline dnnl_status_t COneDNN_layout_strided(
    COneDNN_layout_t *layout, int count, const dnnl_dim_t *extents, dnnl_data_type_t type, const dnnl_dim_t *strides) {
    dnnl_memory_desc_t made;
    dnnl_status_t status = dnnl_memory_desc_init_by_strides(&made, count, extents, type, strides);
    return status == dnnl_success ? COneDNN_layout_copy(layout, &made) : status;
}

static inline dnnl_status_t COneDNN_layout_of_any_order(COneDNN_layout_t *layout, int count, const dnnl_dim_t *extents, dnnl_data_type_t type) {
    dnnl_memory_desc_t made;
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&made, count, extents, type, dnnl_format_tag_any);
    return status == dnnl_success ? COneDNN_layout_copy(layout, &made) : status;
}

static inline dnnl_status_t COneDNN_layout_in(COneDNN_layout_t *layout, const_dnnl_primitive_desc_t description, dnnl_query_t operand) {
    return COneDNN_layout_copy(layout, dnnl_primitive_desc_query_md(description, operand, 0));
}

static inline void COneDNN_layout_destroy(COneDNN_layout_t layout) { free(layout); }

static inline size_t COneDNN_layout_size(COneDNN_layout_t layout) { return dnnl_memory_desc_get_size((const dnnl_memory_desc_t *)layout); }

static inline dnnl_status_t COneDNN_memory_create(dnnl_memory_t *memory, COneDNN_layout_t layout, dnnl_engine_t engine, void *data) {
    return dnnl_memory_create(memory, (const dnnl_memory_desc_t *)layout, engine, data);
}

// c = a b
static inline dnnl_status_t COneDNN_describe_product(
    dnnl_primitive_desc_t *description, dnnl_engine_t engine, COneDNN_layout_t a, COneDNN_layout_t b, COneDNN_layout_t c,
    const_dnnl_primitive_attr_t attributes) {
    dnnl_matmul_desc_t product;
    dnnl_status_t status = dnnl_matmul_desc_init(
        &product, (const dnnl_memory_desc_t *)a, (const dnnl_memory_desc_t *)b, NULL, (const dnnl_memory_desc_t *)c);
    return status == dnnl_success ? dnnl_primitive_desc_create(description, &product, attributes, engine, NULL) : status;
}

// The elements of `from` in the layout `to`.
static inline dnnl_status_t COneDNN_describe_reordering(
    dnnl_primitive_desc_t *description, dnnl_engine_t engine, COneDNN_layout_t from, COneDNN_layout_t to, const_dnnl_primitive_attr_t attributes) {
    return dnnl_reorder_primitive_desc_create(
        description, (const dnnl_memory_desc_t *)from, engine, (const dnnl_memory_desc_t *)to, engine, attributes);
}

#else

static inline dnnl_status_t COneDNN_layout_strided(
    COneDNN_layout_t *layout, int count, const dnnl_dim_t *extents, dnnl_data_type_t type, const dnnl_dim_t *strides) {
    return dnnl_memory_desc_create_with_strides((dnnl_memory_desc_t *)layout, count, extents, type, strides);
}

static inline dnnl_status_t COneDNN_layout_of_any_order(COneDNN_layout_t *layout, int count, const dnnl_dim_t *extents, dnnl_data_type_t type) {
    return dnnl_memory_desc_create_with_tag((dnnl_memory_desc_t *)layout, count, extents, type, dnnl_format_tag_any);
}

static inline dnnl_status_t COneDNN_layout_in(COneDNN_layout_t *layout, const_dnnl_primitive_desc_t description, dnnl_query_t operand) {
    const_dnnl_memory_desc_t found = dnnl_primitive_desc_query_md(description, operand, 0);
    return found ? dnnl_memory_desc_clone((dnnl_memory_desc_t *)layout, found) : dnnl_invalid_arguments;
}

static inline void COneDNN_layout_destroy(COneDNN_layout_t layout) { dnnl_memory_desc_destroy((dnnl_memory_desc_t)layout); }

static inline size_t COneDNN_layout_size(COneDNN_layout_t layout) { return dnnl_memory_desc_get_size((const_dnnl_memory_desc_t)layout); }

static inline dnnl_status_t COneDNN_memory_create(dnnl_memory_t *memory, COneDNN_layout_t layout, dnnl_engine_t engine, void *data) {
    return dnnl_memory_create(memory, (const_dnnl_memory_desc_t)layout, engine, data);
}

// c = a b
static inline dnnl_status_t COneDNN_describe_product(
    dnnl_primitive_desc_t *description, dnnl_engine_t engine, COneDNN_layout_t a, COneDNN_layout_t b, COneDNN_layout_t c,
    const_dnnl_primitive_attr_t attributes) {
    return dnnl_matmul_primitive_desc_create(
        description, engine, (const_dnnl_memory_desc_t)a, (const_dnnl_memory_desc_t)b, NULL, (const_dnnl_memory_desc_t)c, attributes);
}

// The elements of `from` in the layout `to`.
static inline dnnl_status_t COneDNN_describe_reordering(
    dnnl_primitive_desc_t *description, dnnl_engine_t engine, COneDNN_layout_t from, COneDNN_layout_t to, const_dnnl_primitive_attr_t attributes) {
    return dnnl_reorder_primitive_desc_create(
        description, (const_dnnl_memory_desc_t)from, engine, (const_dnnl_memory_desc_t)to, engine, attributes);
}

#endif
