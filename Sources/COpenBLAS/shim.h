// CBLAS, the thread control of OpenBLAS, and the one LAPACK routine in use (OpenBLAS exports its Fortran symbol).
#pragma once
#include <cblas.h>

void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info);
