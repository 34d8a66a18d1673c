# inferd_layer(): one folder of src/ is one static library. inferd_program(): src/cmd/main.c.

# Writes generated/inferd_version.h; the file changes only when the version or the commit does.
add_custom_target(inferd_version_header
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DVERSION=${INFERD_VERSION}
            -DOUTPUT=${CMAKE_BINARY_DIR}/generated/inferd_version.h
            -P ${CMAKE_SOURCE_DIR}/cmake/WriteVersion.cmake
    BYPRODUCTS ${CMAKE_BINARY_DIR}/generated/inferd_version.h
    COMMENT "" VERBATIM)

# inferd_layer(NAME [LAYERS name...] [LIBRARIES target...])
# The library inferd_NAME, of every src/NAME/*.c but a main.c. A folder still empty gives a library
# without code, so that layers can be written in any order.
function(inferd_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LAYERS;LIBRARIES")
    file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.c)
    list(FILTER sources EXCLUDE REGEX "/main\\.c$")
    set(layers ${arg_LAYERS})
    list(TRANSFORM layers PREPEND inferd_)
    if(sources)
        add_library(inferd_${name} STATIC ${sources})
        target_link_libraries(inferd_${name}
            PUBLIC ${layers} PRIVATE inferd::flags ${arg_LIBRARIES})
        add_dependencies(inferd_${name} inferd_version_header)
    else()
        add_library(inferd_${name} INTERFACE)
        target_link_libraries(inferd_${name} INTERFACE ${layers} ${arg_LIBRARIES})
    endif()
    set_property(GLOBAL APPEND PROPERTY INFERD_LAYERS ${name})
endfunction()

function(inferd_program)
    if(NOT EXISTS ${CMAKE_SOURCE_DIR}/src/cmd/main.c)
        message(STATUS "src/cmd/main.c is not there: the program is not built")
        return()
    endif()
    add_executable(inferd src/cmd/main.c)
    target_link_libraries(inferd PRIVATE inferd::flags inferd_cmd)
    target_link_options(inferd PRIVATE ${INFERD_LTO_LINK})
    add_dependencies(inferd inferd_version_header)
    # Libraries are looked for beside the program only, so that it holds no path of this machine:
    # in ../lib once installed, in lib (a link to the prefix's) where it was built.
    file(CREATE_LINK ${INFERD_PREFIX}/lib ${CMAKE_BINARY_DIR}/lib SYMBOLIC)
    set_target_properties(inferd PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
        BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "\$ORIGIN/../lib:\$ORIGIN/lib")
    install(TARGETS inferd RUNTIME DESTINATION bin)
    # What no distribution's packages bring along, beside the program: bin/ and lib/.
    install(CODE "
        file(GLOB libraries ${INFERD_PREFIX}/lib/lib*.so.*)
        file(INSTALL \${libraries} DESTINATION \${CMAKE_INSTALL_PREFIX}/lib)
        file(INSTALL ${INFERD_PREFIX}/share/doc DESTINATION \${CMAKE_INSTALL_PREFIX}/share)")
endfunction()
