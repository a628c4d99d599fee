# Finds the C libraries that Cleave is built with, wherever a site keeps them. Sourced by setup.sh, in the project's root.
#
# A library is found when a small program that includes Cleave's own door to it (Sources/C*/shim.h) compiles, links and runs. Tried in this order:
# what mpicc or pkg-config says; the compiler's own search (CPATH, LIBRARY_PATH, the system's folders); the prefixes of CONDA_PREFIX and CMAKE_PREFIX_PATH.

# The name for messages, the call that shows that a library is linked, the names to link it by, and Debian's packages.
declare -A library_title=(
    [CMPI]="Open MPI (mpi.h, libmpi)"
    [COpenBLAS]="OpenBLAS, built for several threads (cblas.h, libopenblas), and libgomp"
    [COneDNN]="oneDNN 2 or 3 (oneapi/dnnl/dnnl.h, libdnnl)"
    [CXXHash]="xxHash 0.8 or later (xxhash.h, libxxhash)"
    [COniguruma]="Oniguruma (oniguruma.h, libonig)"
    [CZlib]="zlib (zlib.h, libz)"
    [CZstd]="Zstandard (zstd.h, libzstd)"
    [CSnappy]="Snappy (snappy-c.h, libsnappy)")
declare -A library_call=(
    [CMPI]="MPI_Get_version(&(int){0}, &(int){0})"
    [COpenBLAS]="(openblas_get_parallel() == 0) + 0 * (omp_get_num_procs() + (dpotrf_ == 0) + (cblas_sgemm == 0))"
    [COneDNN]="!dnnl_version()"
    [CXXHash]="XXH_versionNumber() < 800"
    [COniguruma]="!onig_version()"
    [CZlib]="!zlibVersion()"
    [CZstd]="!ZSTD_versionNumber()"
    [CSnappy]="!snappy_max_compressed_length(1)")
declare -A library_pc=([CMPI]=ompi-c [COpenBLAS]=openblas [CXXHash]=libxxhash [COniguruma]=oniguruma [CZlib]=zlib [CZstd]=libzstd [CSnappy]=snappy)
declare -A library_links=([CMPI]="-lmpi" [COpenBLAS]="-lopenblas;-lopenblaso;-lopenblasp" [COneDNN]="-ldnnl" [CXXHash]="-lxxhash" [COniguruma]="-lonig"
    [CZlib]="-lz" [CZstd]="-lzstd" [CSnappy]="-lsnappy")
declare -A library_packages=(
    [CMPI]="libopenmpi-dev openmpi-bin" [COpenBLAS]="libopenblas-openmp-dev" [COneDNN]="libdnnl-dev" [CXXHash]="libxxhash-dev" [COniguruma]="libonig-dev"
    [CZlib]="zlib1g-dev" [CZstd]="libzstd-dev" [CSnappy]="libsnappy-dev")
if [ "${MPI:-openmpi}" = mpich ]; then
    library_title[CMPI]="MPICH (mpi.h, libmpich)" library_pc[CMPI]=mpich library_links[CMPI]="-lmpich;-lmpi" library_packages[CMPI]="libmpich-dev mpich"
fi
# Flags that the module maps add.
declare -A library_implied=([COpenBLAS]="-lgomp")

# What was found: compiler and linker flags of each door.
declare -A found_flags=()

# The compiler that Swift builds C with and links with, so that it searches where the build will; CC names another.
find_compiler() {
    local resources
    resources=$(swift -print-target-info 2>/dev/null | sed -nE 's/.*"runtimeResourcePath": "(.*)".*/\1/p')
    compiler=${CC:-${resources%/lib/swift}/bin/clang}
    [ -n "${CC:-}" ] || [ -x "$compiler" ] || compiler=clang
    command -v "$compiler" >/dev/null || compiler=cc
}

# can_build DOOR FLAGS: whether a program with the door builds and runs; the compiler's words are in $work/DOOR.log.
can_build() {
    local folders
    mapfile -t folders < <(link_folders "$2")
    printf '#include "%s/Sources/%s/shim.h"\nint main(void) { return %s; }\n' "$PWD" "$1" "${library_call[$1]}" >"$work/$1.c"
    # shellcheck disable=SC2086  # flags are words
    "$compiler" "$work/$1.c" -o "$work/$1" $2 ${library_implied[$1]:-} "${folders[@]/#/-Wl,-rpath,}" >"$work/$1.log" 2>&1 || return
    "$work/$1" >>"$work/$1.log" 2>&1 || { echo "error: the library is there, but not as it is needed (${library_title[$1]})" >>"$work/$1.log" && return 1; }
}

# Folders that flags and LIBRARY_PATH name for linking.
link_folders() {
    local word
    # shellcheck disable=SC2086
    { printf '%s\n' $1 | sed -nE 's/^-L//p' && tr ':' '\n' <<<"${LIBRARY_PATH:-}"; } | while read -r word; do
        [ ! -d "$word" ] || readlink -f "$word"
    done | awk '!seen[$0]++'
}

# What mpicc passes to the compiler: only folders and libraries, which is what SwiftPM takes from a pkg-config file.
mpicc_flags() {
    local wrapper
    for wrapper in mpicc "mpicc.${MPI:-openmpi}"; do
        command -v "$wrapper" >/dev/null || continue
        case ${MPI:-openmpi} in
            openmpi) "$wrapper" --showme:version 2>/dev/null | grep -q "Open MPI" && words_of "$("$wrapper" --showme:compile) $("$wrapper" --showme:link)" && return ;;
            mpich) "$wrapper" -compile_info >/dev/null 2>&1 && words_of "$("$wrapper" -compile_info) $("$wrapper" -link_info)" && return ;;
        esac
    done
    return 0
}

words_of() {
    # shellcheck disable=SC2086
    printf '%s\n' $1 | awk '/^-[ILl]./ && !seen[$0]++' | tr '\n' ' '
}

# Flags under which a library may be found, one candidate a line. `pc` stands for the pkg-config file as it is.
candidates() {
    local door=$1 pc=${library_pc[$1]:-} flags="" wrapper="" link prefix folder
    [ -z "$pc" ] || flags=$(words_of "$(pkg-config --cflags --libs "$pc" 2>/dev/null || true)")
    # mpicc belongs to the mpirun beside it on the PATH, which a pkg-config file may not.
    [ "$door" != CMPI ] || wrapper=$(mpicc_flags)
    if [ -n "$wrapper" ] && [ "$(link_folders "$wrapper")" != "$(link_folders "$flags")" ]; then echo "$wrapper"; fi
    [ -z "$flags" ] || echo "pc $flags"
    for link in ${library_links[$door]//;/ }; do
        echo "$link"
        for prefix in "${CONDA_PREFIX:-}" $(tr ':;' '  ' <<<"${CMAKE_PREFIX_PATH:-}") /usr; do
            for folder in "$prefix/include/openblas" "$prefix/include"; do
                { [ -n "$prefix" ] && [ -d "$folder" ]; } || continue
                # The compiler searches /usr by itself, but for folders in it.
                if [ "$prefix" != /usr ]; then
                    echo "-I$folder -L$prefix/lib $link"
                    [ ! -d "$prefix/lib64" ] || echo "-I$folder -L$prefix/lib64 $link"
                elif [ "$folder" != /usr/include ]; then
                    echo "-I$folder $link"
                fi
            done
        done
    done
}

# find_library DOOR: sets found_flags[DOOR], or fails with the first candidate's log in $work/DOOR.log.
find_library() {
    local flags first=1
    while read -r flags; do
        if can_build "$1" "${flags#pc }"; then
            found_flags[$1]=$flags
            return
        fi
        ((first == 0)) || cp "$work/$1.log" "$work/$1.first"
        first=0
    done < <(candidates "$1")
    mv "$work/$1.first" "$work/$1.log"
    return 1
}

# Folders of libraries that the loader would not find, or would find another library for: the program must name them.
run_folders() {
    local door folder needed loaded
    for door in "${!found_flags[@]}"; do
        "$compiler" "$work/$door.c" -o "$work/$door.plain" ${found_flags[$door]#pc } ${library_implied[$door]:-} 2>/dev/null || continue
        while read -r needed loaded; do
            while read -r folder; do
                [ -e "$folder/$needed" ] || continue
                [ "$(readlink -f "$folder/$needed")" = "$(readlink -f "$loaded")" ] || echo "$folder"
                break
            done < <(link_folders "${found_flags[$door]#pc }")
        done < <(env -u LD_LIBRARY_PATH ldd "$work/$door.plain" | awk '$2 == "=>" { print $1, ($3 == "not" ? "/" : $3) }')
    done | awk '!seen[$0]++'
}

# The OpenMP runtimes that OpenBLAS and oneDNN bring along: two would not know of each other's number of threads, and bits would follow from it.
openmp_runtimes() {
    local door
    for door in COpenBLAS COneDNN; do
        ldd "$work/$door" | awk '$1 ~ /^lib(gomp|omp|iomp5)\.so/ && $3 ~ /^\// { print $3 }'
    done | xargs -r readlink -f | sort -u
}

# write_flags FOLDER: pkg-config files for libraries that have none, and FOLDER/flags for `swift build`. A folder that is right already is left alone:
# another build may be reading it.
write_flags() {
    local door flags line="" folder own=0 new=$work/libraries
    mkdir -p "$new"
    for door in "${!library_pc[@]}"; do
        [[ ${found_flags[$door]} == pc\ * ]] && continue
        flags=${found_flags[$door]} own=1
        printf 'Name: %s\nDescription: as Cluster/setup.sh found it\nVersion: 0\nCflags: %s\nLibs: %s\n' "${library_pc[$door]}" \
            "$(tr ' ' '\n' <<<"$flags" | grep '^-I' | tr '\n' ' ')" "$(tr ' ' '\n' <<<"$flags" | grep '^-[Ll]' | tr '\n' ' ')" >"$new/${library_pc[$door]}.pc"
    done
    ((own == 0)) || line="--pkg-config-path $1"
    # oneDNN has no pkg-config file of its own, and Package.swift asks for none.
    for flags in ${found_flags[COneDNN]}; do
        case $flags in
            -I*) line+=" -Xcc $flags" ;;
            -L*) line+=" -Xlinker $flags" ;;
        esac
    done
    for folder in $(run_folders); do line+=" -Xlinker -rpath -Xlinker $folder"; done
    echo "$line" >"$new/flags"
    diff -r "$new" "$1" >/dev/null 2>&1 || { rm -rf "$1" && mkdir -p "$(dirname "$1")" && cp -r "$new" "$1"; }
}
