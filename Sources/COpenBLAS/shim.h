// CBLAS, the thread control of OpenBLAS, and the one LAPACK routine in use (OpenBLAS exports its Fortran symbol).
#pragma once
#include <cblas.h>

void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);

// OpenBLAS (the OpenMP build) and oneDNN share OpenMP's pool; its size is a setting of the calling thread.
void omp_set_num_threads(int count);
int omp_get_max_threads(void);
int omp_get_num_procs(void);
