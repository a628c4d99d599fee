// Turns what Swift cannot import from mpi.h into functions: the handles that are macros (casts of addresses in Open MPI, of numbers in MPICH), and
// calls whose types would differ between the two.
#pragma once
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

static inline MPI_Comm CMPI_COMM_WORLD(void) { return MPI_COMM_WORLD; }
static inline MPI_Datatype CMPI_BYTE(void) { return MPI_BYTE; }
static inline MPI_Datatype CMPI_INT32(void) { return MPI_INT32_T; }
static inline MPI_Datatype CMPI_INT64(void) { return MPI_INT64_T; }
static inline MPI_Datatype CMPI_FLOAT(void) { return MPI_FLOAT; }
static inline MPI_Datatype CMPI_DOUBLE(void) { return MPI_DOUBLE; }
static inline MPI_Op CMPI_SUM(void) { return MPI_SUM; }
static inline MPI_Op CMPI_MAX(void) { return MPI_MAX; }
static inline void *CMPI_IN_PLACE(void) { return MPI_IN_PLACE; }
static inline MPI_Errhandler CMPI_ERRORS_RETURN(void) { return MPI_ERRORS_RETURN; }
static inline int CMPI_PROC_NULL(void) { return MPI_PROC_NULL; }
static inline MPI_Status *CMPI_STATUS_IGNORE(void) { return MPI_STATUS_IGNORE; }

// The processes of a group that share memory with this one; MPI_COMM_NULL when `code` is not MPI_SUCCESS.
static inline MPI_Comm CMPI_split_by_node(MPI_Comm group, int *code) {
    MPI_Comm node = MPI_COMM_NULL;
    *code = MPI_Comm_split_type(group, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    return node;
}

// The processes of a group with the same colour, in the same order; MPI_COMM_NULL when `code` is not MPI_SUCCESS.
static inline MPI_Comm CMPI_split(MPI_Comm group, int colour, int *code) {
    MPI_Comm part = MPI_COMM_NULL;
    *code = MPI_Comm_split(group, colour, 0, &part);
    return part;
}

// The processes of a group that are members, in the same order; MPI_COMM_NULL for the others, and when `code` is not MPI_SUCCESS.
static inline MPI_Comm CMPI_select(MPI_Comm group, int is_member, int *code) {
    MPI_Comm part = MPI_COMM_NULL;
    *code = MPI_Comm_split(group, is_member ? 0 : MPI_UNDEFINED, 0, &part);
    return part;
}

// Messages that go on while their rank does something else; `CMPI_wait` ends each.
static inline MPI_Request CMPI_begin_send(const void *buffer, int count, MPI_Datatype type, int destination, MPI_Comm group, int *code) {
    MPI_Request request = MPI_REQUEST_NULL;
    *code = MPI_Isend(buffer, count, type, destination, 0, group, &request);
    return request;
}

static inline MPI_Request CMPI_begin_receive(void *buffer, int count, MPI_Datatype type, int source, MPI_Comm group, int *code) {
    MPI_Request request = MPI_REQUEST_NULL;
    *code = MPI_Irecv(buffer, count, type, source, 0, group, &request);
    return request;
}

static inline int CMPI_wait(MPI_Request request) { return MPI_Wait(&request, MPI_STATUS_IGNORE); }

static inline int CMPI_free(MPI_Comm group) { return MPI_Comm_free(&group); }

// MPI_Reduce into the root's own buffer; the others' buffers keep their values.
//
// MPICH 4.0.2 reads at the address MPI_IN_PLACE when a message of some KiB goes to another root than 0, so there the root sends a copy.
static inline int CMPI_reduce_in_place(void *buffer, int count, MPI_Datatype type, MPI_Op operation, int root, int rank, MPI_Comm group) {
    if (rank != root) return MPI_Reduce(buffer, NULL, count, type, operation, root, group);
#ifdef MPICH
    if (root != 0) {
        int size = 0, code = MPI_Type_size(type, &size);
        if (code != MPI_SUCCESS) return code;
        void *copy = malloc((size_t)count * (size_t)size);
        if (!copy) return MPI_ERR_NO_MEM;
        memcpy(copy, buffer, (size_t)count * (size_t)size);
        code = MPI_Reduce(copy, buffer, count, type, operation, root, group);
        free(copy);
        return code;
    }
#endif
    return MPI_Reduce(MPI_IN_PLACE, buffer, count, type, operation, root, group);
}

static inline const char *CMPI_library(void) {
#ifdef OPEN_MPI
    return "Open MPI";
#elif defined(MPICH)
    return "MPICH";
#else
    return "another MPI";
#endif
}
