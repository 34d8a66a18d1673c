# Unit tests (tests/unit/<layer>/test_*.c, cmocka) and fuzz targets (tests/fuzz/fuzz_*.c).
enable_testing()
set(INFERD_TEST_MODELS ${CMAKE_SOURCE_DIR}/build/test-models CACHE PATH "Models made for the tests")

set(environment
    "INFERD_TEST_MODELS=${INFERD_TEST_MODELS}"
    "INFERD_SOURCE_DIR=${CMAKE_SOURCE_DIR}"
    "ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1"
    "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/lsan.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"
    "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp:halt_on_error=1:second_deadlock_stack=1")

# The small ONNX models that tests of the upper layers load, made by the test Python environment.
function(inferd_test_models)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/deps.sh venv-test
        OUTPUT_VARIABLE venv OUTPUT_STRIP_TRAILING_WHITESPACE)
    add_test(NAME setup.test-models
        COMMAND ${venv}/bin/python ${CMAKE_SOURCE_DIR}/tests/data/make_models.py
                ${INFERD_TEST_MODELS})
    set_tests_properties(setup.test-models PROPERTIES
        FIXTURES_SETUP test-models TIMEOUT 120 LABELS setup)
endfunction()

# Linked after inferd::flags, which it takes a few warnings back from: cmocka's macros and
# LLVMFuzzerTestOneInput are not written for them. cmocka.h takes the four headers for granted.
add_library(inferd_test_flags INTERFACE)
target_include_directories(inferd_test_flags INTERFACE ${CMAKE_SOURCE_DIR}/tests/unit)
target_compile_options(inferd_test_flags INTERFACE
    "SHELL:-include stdarg.h" "SHELL:-include stddef.h" "SHELL:-include stdint.h"
    "SHELL:-include setjmp.h" -Wno-missing-prototypes -Wno-cast-qual -Wno-write-strings)
target_link_options(inferd_test_flags INTERFACE ${INFERD_NO_LTO_LINK})

function(inferd_unit_test layer source support)
    get_filename_component(file ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" module ${file})
    set(target unit_${layer}_${module})
    add_executable(${target} ${source} ${support})
    target_link_libraries(${target} PRIVATE
        inferd::flags inferd_test_flags inferd_${layer} ${INFERD_CMOCKA_LIBRARY})
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests BUILD_RPATH ${INFERD_PREFIX}/lib)
    add_test(NAME unit.${layer}.${module} COMMAND ${target})
    set_tests_properties(unit.${layer}.${module} PROPERTIES
        LABELS ${layer} TIMEOUT 120 ENVIRONMENT "${environment}")
    if(layer MATCHES "^(engine|batch|model|api|cmd)$" AND TEST setup.test-models)
        set_tests_properties(unit.${layer}.${module} PROPERTIES FIXTURES_REQUIRED test-models)
    endif()
endfunction()

# Other .c files of a test folder are support code, linked into each of its tests.
function(inferd_unit_tests)
    if(INFERD_FUZZ OR INFERD_ANALYZE OR NOT INFERD_CMOCKA_LIBRARY)
        return()
    endif()
    if(EXISTS ${CMAKE_SOURCE_DIR}/tests/data/make_models.py)
        inferd_test_models()
    endif()
    get_property(layers GLOBAL PROPERTY INFERD_LAYERS)
    foreach(layer IN LISTS layers)
        file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${layer}/test_*.c)
        file(GLOB support CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${layer}/*.c)
        list(FILTER support EXCLUDE REGEX "/test_[^/]*$")
        set(objects "")
        if(support)
            add_library(unit_${layer}_support OBJECT ${support})
            target_link_libraries(unit_${layer}_support PRIVATE
                inferd::flags inferd_test_flags inferd_${layer})
            set(objects $<TARGET_OBJECTS:unit_${layer}_support>)
        endif()
        foreach(source IN LISTS tests)
            inferd_unit_test(${layer} ${source} "${objects}")
        endforeach()
    endforeach()
endfunction()

# A fuzz target names the layer it links in a line `// layer: protocol` at its top. In a fuzz build
# libFuzzer drives it; in every other build replay_main.c runs it over its committed corpus.
function(inferd_fuzz_targets)
    if(INFERD_ANALYZE)
        return()
    endif()
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
    foreach(source IN LISTS sources)
        get_filename_component(target ${source} NAME_WE)
        string(REGEX REPLACE "^fuzz_" "" name ${target})
        file(STRINGS ${source} line REGEX "^// layer: [a-z]+" LIMIT_COUNT 1)
        string(REGEX REPLACE "^// layer: ([a-z]+).*" "\\1" layer "${line}")
        if(NOT TARGET inferd_${layer})
            message(FATAL_ERROR "${source}: no line `// layer: NAME` with a known layer")
        endif()
        add_executable(${target} ${source})
        target_link_libraries(${target} PRIVATE
            inferd::flags inferd_test_flags inferd_${layer})
        set_target_properties(${target} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/fuzz BUILD_RPATH ${INFERD_PREFIX}/lib)
        if(INFERD_FUZZ)
            target_link_options(${target} PRIVATE -fsanitize=fuzzer)
        else()
            target_sources(${target} PRIVATE tests/fuzz/replay_main.c)
            add_test(NAME fuzz.${name}
                COMMAND ${target} ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${name})
            set_tests_properties(fuzz.${name} PROPERTIES
                LABELS "${layer};fuzz" TIMEOUT 120 ENVIRONMENT "${environment}")
        endif()
    endforeach()
endfunction()
