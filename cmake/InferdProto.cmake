# inferd::proto: the messages of src/protocol/proto/*.proto as protobuf-c structs, and their
# descriptors as bytes for server reflection (<proto_descriptors.h>). Generated where it is built;
# compiled with our hardening, without our warnings. Headers are included as <inference.pb-c.h>.
find_program(INFERD_PROTOC protoc-c)
if(NOT INFERD_PROTOC)
    message(FATAL_ERROR "protoc-c not found: run tools/deps.sh build")
endif()
mark_as_advanced(INFERD_PROTOC)

block()
set(root ${CMAKE_SOURCE_DIR}/src/protocol/proto)
set(out ${CMAKE_BINARY_DIR}/generated-proto)
file(GLOB_RECURSE protos RELATIVE ${root} CONFIGURE_DEPENDS ${root}/*.proto)
set(inputs ${protos})
list(TRANSFORM inputs PREPEND ${root}/)
set(sources ${protos})
list(TRANSFORM sources REPLACE "\\.proto$" ".pb-c.c")
list(TRANSFORM sources PREPEND ${out}/)
set(headers ${sources})
list(TRANSFORM headers REPLACE "\\.c$" ".h")

file(MAKE_DIRECTORY ${out})
add_custom_command(OUTPUT ${sources} ${headers} ${out}/descriptors.bin
    COMMAND ${INFERD_PROTOC} --proto_path=${root} --c_out=${out}
            --descriptor_set_out=${out}/descriptors.bin ${protos}
    DEPENDS ${inputs} COMMENT "Generating protobuf-c messages" VERBATIM)
add_custom_command(OUTPUT ${out}/proto_descriptors.c ${out}/proto_descriptors.h
    COMMAND ${CMAKE_COMMAND} -DINPUT=${out}/descriptors.bin -DNAME=proto_descriptors
            -DOUTPUT=${out}/proto_descriptors -P ${CMAKE_SOURCE_DIR}/cmake/EmbedFile.cmake
    DEPENDS ${out}/descriptors.bin ${CMAKE_SOURCE_DIR}/cmake/EmbedFile.cmake
    COMMENT "" VERBATIM)

add_library(inferd_proto STATIC ${sources} ${headers}
    ${out}/proto_descriptors.c ${out}/proto_descriptors.h)
target_include_directories(inferd_proto SYSTEM INTERFACE ${out})
target_include_directories(inferd_proto PRIVATE ${out})
target_compile_definitions(inferd_proto PRIVATE NDEBUG)
target_link_libraries(inferd_proto PUBLIC inferd::protobuf_c PRIVATE inferd::flags)
target_compile_options(inferd_proto PRIVATE -w)
add_library(inferd::proto ALIAS inferd_proto)
endblock()
