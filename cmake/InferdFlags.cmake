# Compiler and linker flags: language, warnings, hardening, sanitizers. Every target of ours links
# inferd::flags; nothing is set globally but the optimisation level.
include(CheckCCompilerFlag)
include(CheckIPOSupported)

set(INFERD_SANITIZE "" CACHE STRING "Sanitizers: empty, address or thread")
set_property(CACHE INFERD_SANITIZE PROPERTY STRINGS "" address thread)
option(INFERD_FUZZ "Build the fuzz targets with libFuzzer (needs clang)" OFF)
option(INFERD_COVERAGE "Count executed lines (gcov)" OFF)
option(INFERD_LTO "Link-time optimisation of the program" OFF)
option(INFERD_ANALYZE "Run gcc's static analyser while compiling" OFF)
if("$ENV{CI}" STREQUAL "true")
    set(werror ON)
else()
    set(werror OFF)
endif()
option(INFERD_WERROR "Treat warnings as errors (default: only when CI=true)" ${werror})

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Kind of build" FORCE)
endif()
# Our checks stay on in every build, so none defines NDEBUG.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g3")
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(inferd_flags INTERFACE)
add_library(inferd::flags ALIAS inferd_flags)

# Adds those of the options that this compiler knows.
function(inferd_try_options)
    foreach(flag IN LISTS ARGN)
        string(MAKE_C_IDENTIFIER "INFERD_HAS${flag}" known)
        check_c_compiler_flag("-Werror ${flag}" ${known})
        if(${known})
            target_compile_options(inferd_flags INTERFACE ${flag})
        endif()
    endforeach()
endfunction()

target_compile_features(inferd_flags INTERFACE c_std_17)
target_compile_definitions(inferd_flags INTERFACE _GNU_SOURCE)
target_include_directories(inferd_flags INTERFACE
    ${CMAKE_SOURCE_DIR}/src ${CMAKE_BINARY_DIR}/generated)
# The same sources give the same bytes wherever they lie; a debugger's build keeps its paths.
if(CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(inferd_flags INTERFACE -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/=)
else()
    target_compile_options(inferd_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
endif()
target_compile_options(inferd_flags INTERFACE -fvisibility=hidden -fno-omit-frame-pointer)

inferd_try_options(-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wformat=2
    -Wcast-qual -Wcast-align -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla
    -Wundef -Wnull-dereference -Wpointer-arith -Wwrite-strings -Wdouble-promotion
    -Wimplicit-fallthrough -Walloca -Wduplicated-cond -Wduplicated-branches
    -Wunused-result -Wdate-time -Wtrampolines)
# A list whose head is a local variable is emptied before it goes; gcc cannot see that.
inferd_try_options(-Wno-dangling-pointer)
# gcc leaves functions with a va_list parameter alone here; clang would not.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
    inferd_try_options(-Wno-format-nonliteral)
endif()
if(INFERD_WERROR)
    target_compile_options(inferd_flags INTERFACE -Werror)
endif()

# Hardening, after OpenSSF's compiler options guide; tools/check/hardening.sh reads the result.
inferd_try_options(-fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero
    -fno-delete-null-pointer-checks -fno-strict-overflow -fno-plt)
if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    inferd_try_options(-fcf-protection=full)
elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64")
    inferd_try_options(-mbranch-protection=standard)
endif()
target_compile_options(inferd_flags INTERFACE -fPIE)
target_link_options(inferd_flags INTERFACE -pie
    LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack LINKER:--as-needed)
if(NOT INFERD_SANITIZE AND NOT INFERD_FUZZ AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    check_c_compiler_flag("-Werror -O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3" INFERD_HAS_FORTIFY)
    if(INFERD_HAS_FORTIFY)
        target_compile_options(inferd_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
    endif()
endif()

set(instruments "")
if(INFERD_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "INFERD_FUZZ needs clang: cmake --preset fuzz")
    endif()
    set(instruments -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
elseif(INFERD_SANITIZE STREQUAL "address")
    set(instruments -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(INFERD_SANITIZE STREQUAL "thread")
    set(instruments -fsanitize=thread)
elseif(INFERD_SANITIZE)
    message(FATAL_ERROR "INFERD_SANITIZE is '${INFERD_SANITIZE}'; known: address, thread")
endif()
if(INFERD_COVERAGE)
    list(APPEND instruments --coverage -fprofile-update=atomic)
endif()
target_compile_options(inferd_flags INTERFACE ${instruments})
target_link_options(inferd_flags INTERFACE ${instruments})
if(INFERD_ANALYZE)
    # These two see ghosts where a list or an out-parameter is involved; clang's analyser, which
    # `make lint` runs too, looks for the same.
    target_compile_options(inferd_flags INTERFACE -fanalyzer
        -Wno-analyzer-null-dereference -Wno-analyzer-use-of-uninitialized-value)
endif()

# Objects carry machine code too ("fat"), so that only the program pays for the slow link.
set(INFERD_LTO_LINK "")
set(INFERD_NO_LTO_LINK "")
if(INFERD_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    check_ipo_supported(RESULT lto_works LANGUAGES C)
    if(lto_works)
        set(CMAKE_AR ${CMAKE_C_COMPILER_AR})
        set(CMAKE_RANLIB ${CMAKE_C_COMPILER_RANLIB})
        target_compile_options(inferd_flags INTERFACE -flto=auto -ffat-lto-objects)
        set(INFERD_LTO_LINK -flto=auto)
        set(INFERD_NO_LTO_LINK -fno-lto)
    endif()
endif()
