// Turns the macros of mpi.h that Swift cannot import (handles are casts of addresses) into functions.
#pragma once
#include <mpi.h>

static inline MPI_Comm COpenMPI_COMM_WORLD(void) { return MPI_COMM_WORLD; }
static inline MPI_Comm COpenMPI_COMM_NULL(void) { return MPI_COMM_NULL; }
static inline MPI_Datatype COpenMPI_BYTE(void) { return MPI_BYTE; }
static inline MPI_Datatype COpenMPI_INT32(void) { return MPI_INT32_T; }
static inline MPI_Datatype COpenMPI_INT64(void) { return MPI_INT64_T; }
static inline MPI_Datatype COpenMPI_FLOAT(void) { return MPI_FLOAT; }
static inline MPI_Datatype COpenMPI_DOUBLE(void) { return MPI_DOUBLE; }
static inline MPI_Op COpenMPI_SUM(void) { return MPI_SUM; }
static inline MPI_Op COpenMPI_MAX(void) { return MPI_MAX; }
static inline MPI_Op COpenMPI_MIN(void) { return MPI_MIN; }
static inline void *COpenMPI_IN_PLACE(void) { return MPI_IN_PLACE; }
static inline MPI_Errhandler COpenMPI_ERRORS_RETURN(void) { return MPI_ERRORS_RETURN; }
static inline MPI_Info COpenMPI_INFO_NULL(void) { return MPI_INFO_NULL; }
static inline MPI_Status *COpenMPI_STATUS_IGNORE(void) { return MPI_STATUS_IGNORE; }
