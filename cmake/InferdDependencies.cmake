# Third-party libraries, found on the system or in the prefix that tools/deps.sh fills.
if(NOT INFERD_PREFIX)
    execute_process(COMMAND ${CMAKE_SOURCE_DIR}/tools/deps.sh prefix
        OUTPUT_VARIABLE INFERD_PREFIX OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "set INFERD_PREFIX to the folder with ONNX Runtime's lib and include")
    endif()
endif()
if(NOT EXISTS ${INFERD_PREFIX}/include)
    message(FATAL_ERROR "${INFERD_PREFIX} is missing: run tools/deps.sh build")
endif()

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB REQUIRED)

# inferd::<name> from a header and a library of the prefix, else of the system.
function(inferd_import name header library)
    find_path(INFERD_${name}_INCLUDE ${header} HINTS ${INFERD_PREFIX}/include
        PATH_SUFFIXES onnxruntime NO_CMAKE_FIND_ROOT_PATH)
    find_library(INFERD_${name}_LIBRARY NAMES ${library} HINTS ${INFERD_PREFIX}/lib)
    if(NOT INFERD_${name}_INCLUDE OR NOT INFERD_${name}_LIBRARY)
        message(FATAL_ERROR "${name} (${header}, ${library}) not found: run tools/deps.sh build")
    endif()
    mark_as_advanced(INFERD_${name}_INCLUDE INFERD_${name}_LIBRARY)
    add_library(inferd::${name} UNKNOWN IMPORTED)
    set_target_properties(inferd::${name} PROPERTIES IMPORTED_LOCATION ${INFERD_${name}_LIBRARY})
    if(NOT INFERD_${name}_INCLUDE STREQUAL "/usr/include")
        target_include_directories(inferd::${name} SYSTEM INTERFACE ${INFERD_${name}_INCLUDE})
    endif()
endfunction()

inferd_import(onnxruntime onnxruntime_c_api.h libonnxruntime.so)
inferd_import(llhttp llhttp.h libllhttp.a)
inferd_import(yyjson yyjson.h libyyjson.so)
inferd_import(uv uv.h libuv.so)
inferd_import(yaml yaml.h libyaml.so)
# Distributions build ONNX Runtime's headers for C++ only; pedantic C warnings are not ours.
find_library(INFERD_CMOCKA_LIBRARY cmocka)
mark_as_advanced(INFERD_CMOCKA_LIBRARY)
